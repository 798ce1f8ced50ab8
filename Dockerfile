# The same steps as on any machine: `make install` builds, and a second stage of the same base takes what was built.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/tidegate
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY config config
COPY policies policies
COPY kernels kernels
COPY gateway gateway
ENV UV_COMPILE_BYTECODE=1
RUN make install EXTRAS=all && .venv/bin/python -m compileall -q gateway kernels

FROM python:3.11-slim-bookworm
# The embedded model's engine is linked against GNU's OpenMP, which a slim image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
# The code belongs to root: the gateway's user may write its events and nothing else.
RUN useradd --uid 10001 --create-home tidegate
WORKDIR /srv/tidegate
COPY --from=build /srv/tidegate ./
RUN install -d -o tidegate -g tidegate var
ENV PATH=/srv/tidegate/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER tidegate
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
ENTRYPOINT ["tidegate"]
# Without keys in the configuration the gateway refuses to listen beyond loopback, and says so.
CMD ["serve", "--config", "config/gateway.yaml", "--host", "0.0.0.0"]
