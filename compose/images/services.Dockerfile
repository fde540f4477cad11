# All of our own services in one image; the command chooses which. Packages are exactly those of the lock file.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY compose/locks/protos.txt /build/
RUN python -m venv /build/protos && /build/protos/bin/pip install --quiet --no-deps --require-hashes -r /build/protos.txt
COPY compose/locks/services.txt /build/
RUN python -m venv /opt/seldon/venv \
 && /opt/seldon/venv/bin/pip install --quiet --no-deps --require-hashes -r /build/services.txt \
 && /opt/seldon/venv/bin/pip uninstall --quiet --yes pip setuptools
COPY protos /build/source/protos
RUN rm -rf /build/source/protos/gen && /build/protos/bin/python /build/source/protos/generate.py

FROM python:3.11-slim-bookworm
# Python files are compiled into memory only: the file system may be read-only.
ENV PATH=/opt/seldon/venv/bin:$PATH PYTHONPATH=/opt/seldon:/opt/seldon/protos \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
RUN useradd --uid 10001 --user-group --no-create-home seldon \
 && install -d -o seldon -g seldon /var/lib/seldon /mnt/agent /mnt/agent/models
COPY compose/images/answers /usr/local/bin/
COPY --from=build /opt/seldon/venv /opt/seldon/venv
COPY --from=build /build/source/protos/gen /opt/seldon/protos
COPY shared /opt/seldon/shared
COPY services /opt/seldon/services
WORKDIR /var/lib/seldon
USER seldon
ENTRYPOINT ["python", "-m"]
CMD ["services.scheduler"]
