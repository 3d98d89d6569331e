"""Writes test/vectors/sealing-v1-python.json anew: the cases of TypeScript, sealed here under a key of our own."""

import base64
import json
import secrets

from vectors import VECTORS, load, point_id_of, spki_of

from sealpoint.seal import PrivateKey, SealContext, cbor


def main() -> None:
    file = load(VECTORS / "sealing-v1-typescript.json")
    scalar = secrets.token_bytes(32)
    key = PrivateKey.parse(scalar)
    sealing_id = secrets.token_bytes(16)
    file.update(
        producer="python",
        private_key=scalar.hex(),
        private_key_pem=key.to_pem(),
        public_key=base64.b64encode(spki_of(key.public_key)).decode(),
        sealing_id=sealing_id.hex(),
    )
    context = SealContext(key)
    for case in file["cases"]:
        envelopes = [
            context.seal(
                cbor.decode(bytes.fromhex(plaintext), padded=case["padding"]),
                sealing_id=sealing_id,
                point_id=point_id_of(case["id"]),
                padding=case["padding"],
            )
            for plaintext in case["plaintext"]
        ]
        case["envelopes"] = [envelope.to_json_object() for envelope in envelopes]
        case["binary"] = [envelope.to_bytes().hex() for envelope in envelopes]
    text = json.dumps(file, indent=1, ensure_ascii=False) + "\n"
    (VECTORS / "sealing-v1-python.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
