# The tool as a step of a workflow runs it: `FILE JOB`. It has nothing of the system, and one package more than its lock.
FROM python:3.11-slim-bookworm
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY compose/locks/simplepipe.txt /build/
RUN pip install --quiet --no-deps --require-hashes -r /build/simplepipe.txt
COPY services/simplepipe /build/simplepipe
RUN pip install --quiet --no-deps /build/simplepipe \
 && install -D /build/simplepipe/app.py /app/app.py && rm -r /build \
 && useradd --uid 10001 --user-group --no-create-home seldon
WORKDIR /app
USER seldon
ENTRYPOINT ["python3", "app.py"]
