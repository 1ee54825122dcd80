# The daemon and the command line, without extras:
#   docker build -t slacktide .
#   docker run --rm slacktide demo
# With extras, such as the driver of PostgreSQL: docker build --build-arg EXTRAS=postgres,speed -t slacktide .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=""
WORKDIR /source
RUN python -m venv /opt/slacktide
COPY requirements.lock requirements-dev.lock ./
RUN /opt/slacktide/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY intensity_feeds intensity_feeds
COPY scheduler scheduler
COPY shaping shaping
COPY simulations simulations
COPY slacktide slacktide
# What an extra brings is held to the versions of the lock, whose hashes a constraint may not name.
RUN sed -n 's/^\([a-zA-Z0-9._-]*==[^\\]*\).*/\1/p' requirements-dev.lock > versions.txt \
    && /opt/slacktide/bin/pip install --no-cache-dir --no-build-isolation -c versions.txt ".${EXTRAS:+[$EXTRAS]}" \
    && /opt/slacktide/bin/pip uninstall --yes hatchling editables

FROM python:${PYTHON}-slim
# A number, so that a cluster can see that it is not root.
RUN useradd --system --uid 10001 --home-dir /var/lib/slacktide --create-home slacktide
COPY --from=build /opt/slacktide /opt/slacktide
ENV PATH=/opt/slacktide/bin:$PATH PYTHONUNBUFFERED=1 SLACKTIDE_SERVER__STATE_DIR=/var/lib/slacktide
USER 10001
WORKDIR /var/lib/slacktide
VOLUME /var/lib/slacktide
EXPOSE 8080
ENTRYPOINT ["slacktide"]
CMD ["serve", "-c", "/etc/slacktide/slacktide.toml", "--log-json"]
