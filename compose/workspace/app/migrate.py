#!/usr/bin/python3
"""migrate start|alone|back|state POD: move the pod's subscriptions to the new storage, to the new storage alone, or back.

It goes on by itself; `state` says how far it is and changes nothing.
"""

import http.client
import sys

words = sys.argv[1:]
if len(words) != 2 or words[0] not in ("start", "alone", "back", "state"):
    sys.exit(__doc__)
connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=8)
connection.request("POST", "/" + "/".join(words))
answer = connection.getresponse()
text = answer.read().decode()
if answer.status != 200:
    sys.exit(text)
print(text)
