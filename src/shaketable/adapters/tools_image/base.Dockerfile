# What seldom changes: Debian's packages and Locust's wheels. Our own code comes on top, in an image of its own.
FROM debian:bookworm-slim
RUN apt-get -q update \
 && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends python3 iptables iproute2 \
 && rm -rf /var/lib/apt/lists/*
COPY wheels /tmp/wheels
RUN cd /tmp/wheels && PYTHONPATH="$(echo pip-*.whl)" python3 -m pip install --no-index --find-links . \
    --no-cache-dir --break-system-packages --root-user-action=ignore --disable-pip-version-check locust
