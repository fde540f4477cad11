-- Three things a request needs that routes cannot do:
--   1. REST calls without the header `seldon-model` get it from their path, so that they find their route.
--   2. gRPC calls get the model name inside their messages replaced by the internal one, `<model>_<version>`.
--   3. Calls of the version 1 protocols find the gateway that speaks them, whatever model they name.
-- A message is changed in its first bytes only; the tensors that follow pass through untouched and unbuffered.

local MODEL_NAME = 0x0a     -- field 1, length-delimited: model_name, or name in metadata and ready requests
local MODEL_VERSION = 0x12  -- field 2, length-delimited: the version is part of the internal name
local FRAME_HEADER = 5      -- compression flag and length of a gRPC frame

local function varint(value)
  local out = {}
  while value >= 128 do
    out[#out + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  out[#out + 1] = string.char(value)
  return table.concat(out)
end

-- Value and position after it, or nil when the bytes end before the number does.
local function read_varint(bytes, position)
  local value, scale = 0, 1
  for offset = 0, 4 do
    local byte = string.byte(bytes, position + offset)
    if byte == nil then return nil end
    value = value + (byte % 128) * scale
    if byte < 128 then return value, position + offset + 1 end
    scale = scale * 128
  end
  return 0, position
end

-- Position after the leading name and version fields; nil when `bytes` holds only a part of them.
local function skip_name(bytes, position, finish)
  for _, tag in ipairs({ MODEL_NAME, MODEL_VERSION }) do
    if position < finish then
      local found = string.byte(bytes, position)
      if found == nil then return nil end
      if found == tag then
        local length, after = read_varint(bytes, position + 1)
        if length == nil then return nil end
        position = after + length
        if position > #bytes + 1 and position <= finish then return nil end
      end
    end
  end
  return math.min(position, finish)
end

local function frame_length(bytes, at)
  local a, b, c, d = string.byte(bytes, at + 1, at + 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function frame_header(flag, length)
  return string.char(flag, math.floor(length / 16777216) % 256, math.floor(length / 65536) % 256,
    math.floor(length / 256) % 256, length % 256)
end

-- One pass over the bytes at hand: returns what can go on, what must wait for more, and how many bytes of the
-- current message's body are still to come.
local function rename(bytes, passing, field)
  local out, at = {}, 1
  while at <= #bytes do
    if passing > 0 then
      local take = math.min(passing, #bytes - at + 1)
      out[#out + 1] = string.sub(bytes, at, at + take - 1)
      at, passing = at + take, passing - take
    else
      if #bytes - at + 1 < FRAME_HEADER then break end
      local flag, length = string.byte(bytes, at), frame_length(bytes, at)
      local body = at + FRAME_HEADER
      local rest = flag == 0 and skip_name(bytes, body, body + length) or body
      if flag == 0 and skip_name(bytes, body, body + length) == nil then break end
      local prefix = flag == 0 and field or ""
      local remaining = length - (rest - body)
      out[#out + 1] = frame_header(flag, remaining + #prefix)
      out[#out + 1] = prefix
      at, passing = rest, remaining
    end
  end
  return table.concat(out), string.sub(bytes, at), passing
end

local function rename_messages(handle, internal)
  local field = string.char(MODEL_NAME) .. varint(#internal) .. internal
  local waiting, passing = "", 0
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if waiting == "" and passing >= length then
      passing = passing - length
    else
      local ready
      ready, waiting, passing = rename(waiting .. chunk:getBytes(0, length), passing, field)
      chunk:setBytes(ready)
    end
  end
end

local VERSION_1_SCOPE = ".v1"  -- no model or pipeline can be named so
-- Starts of the paths of these protocols, and of no other call.
local VERSION_1 = { "/api/v", "/v1/models/", "/seldon/", "/seldon.protos.", "/tensorflow.serving." }

local function is_version_1(path)
  for _, start in ipairs(VERSION_1) do
    if string.sub(path, 1, #start) == start then return true end
  end
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if is_version_1(path) then
    local model = headers:get("seldon-model")
    if model and headers:get("seldon-deployment") == nil then headers:add("seldon-deployment", model) end
    headers:replace("seldon-model", VERSION_1_SCOPE)
    return
  end
  if headers:get("seldon-model") == nil then
    local model = string.match(path, "^/v2/models/([^/?]+)")
    local pipeline = string.match(path, "^/v2/pipelines/([^/?]+)")
    if model then
      headers:add("seldon-model", model)
    elseif pipeline then
      headers:add("seldon-model", pipeline .. ".pipeline")
    end
    return
  end
  local internal = handle:filterContext():get("internal")
  if internal then
    -- The length changes with the name; HTTP/2 does not need it.
    headers:remove("content-length")
    rename_messages(handle, internal)
  end
end
