"""Sealed values: the ciphers by published vectors, the form by what happens when it is tampered with."""

from __future__ import annotations

import hmac
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import DateTime, Integer, Numeric, String
from sqlalchemy.dialects import postgresql

from lithair_sqla.codec.sealing import (
    DataKey,
    EnvironmentKeyRing,
    FileKeyRing,
    KeyRing,
    MemoryKeyRing,
    blind_index,
    open_sealed,
    seal,
)
from lithair_sqla.codec.sealing import (
    sealed as sealed_module,
)
from lithair_sqla.codec.sealing.plain import PlainForm
from lithair_sqla.errors import EncryptionError, SealedValueError, UnknownKeyError

KEY = DataKey(1, bytes(range(32)))
OTHER = DataKey(2, bytes(range(32, 64)))
RING = MemoryKeyRing(KEY, OTHER)
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def test_aes_256_gcm_answers_as_the_specification_says() -> None:
    """McGrew and Viega, The Galois/Counter Mode of Operation, test case 16."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
        "ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    expected = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
        "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
    )

    assert sealed_module._cipher(key).encrypt(nonce, plain, associated) == expected


def test_hmac_sha_256_answers_as_rfc_4231_says() -> None:
    answer = hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha256")

    assert answer.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_hkdf_answers_as_rfc_5869_says() -> None:
    derived = HKDF(SHA256(), 42, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA))).derive(b"\x0b" * 22)

    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def test_a_sealed_value_has_the_form_that_the_module_states() -> None:
    value = seal(b"plain", OTHER, "person.name", searchable=True)

    index, version, key_id, nonce = value[:16], value[16], value[17:21], value[21:33]
    assert index == blind_index(b"plain", OTHER, "person.name")
    assert (version, key_id) == (1, b"\0\0\0\2")
    assert AESGCM(OTHER.secret).decrypt(nonce, value[33:], value[16:21] + b"person.name") == b"plain"


@given(st.binary(max_size=200), st.booleans())
def test_what_is_sealed_opens(plain: bytes, searchable: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    assert open_sealed(seal(plain, KEY, "t.c", searchable=searchable), RING, "t.c", searchable=searchable) == plain


@given(st.binary(max_size=40), st.booleans(), st.data())
def test_any_change_to_a_sealed_value_is_found(plain: bytes, searchable: bool, data: st.DataObject) -> None:  # noqa: FBT001
    value = bytearray(seal(plain, KEY, "t.c", searchable=searchable))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(EncryptionError):
        open_sealed(bytes(value), RING, "t.c", searchable=searchable)


@given(st.binary(max_size=120), st.booleans())
def test_no_bytes_make_the_decoder_do_anything_but_refuse(noise: bytes, searchable: bool) -> None:  # noqa: FBT001
    with pytest.raises(EncryptionError):
        open_sealed(noise, RING, "t.c", searchable=searchable)


def test_a_value_moved_to_another_column_does_not_open() -> None:
    value = seal(b"plain", KEY, "person.name")

    with pytest.raises(SealedValueError, match=r"person\.email sealed with key 1 does not open"):
        open_sealed(value, RING, "person.email")


def test_a_value_of_a_missing_key_names_the_key() -> None:
    value = seal(b"plain", DataKey.generate(77), "t.c")

    with pytest.raises(UnknownKeyError, match=r"key 77, and the key ring has only \[1, 2\]"):
        open_sealed(value, RING, "t.c")


def test_the_same_value_is_sealed_otherwise_each_time_and_indexed_alike() -> None:
    first, second = (seal(b"plain", KEY, "t.c", searchable=True) for _ in range(2))

    assert first[:16] == second[:16]
    assert first[16:] != second[16:]
    assert blind_index(b"plain", KEY, "t.c") != blind_index(b"plain", KEY, "t.d")


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (String(), "żółć \U0001f600"),
        (Integer(), -(2**40)),
        (Numeric(10, 2), Decimal("12.50")),
        (Numeric(), Decimal("1E+30")),
        (DateTime(timezone=True), None),
    ],
)
def test_values_come_back_as_the_columns_own_type(type_: Any, value: Any) -> None:
    form = PlainForm(type_, "t.c")

    found = form.read(form.write(value, DIALECT), DIALECT) if value is not None else None

    assert found == value
    assert type(found) is type(value)


def test_equal_decimals_of_a_column_have_equal_bytes() -> None:
    form = PlainForm(Numeric(10, 2), "t.c")

    assert form.write(Decimal("1.5"), DIALECT) == form.write(Decimal("1.50"), DIALECT)


def test_no_secret_is_shown() -> None:
    shown = f"{KEY!r} {RING!r} {KEY}"

    assert KEY.export() not in shown
    assert repr(KEY.secret) not in shown


def test_rings_are_read_from_the_environment_and_from_files(tmp_path: Path) -> None:
    text = [f"{key.id}:{key.export()}" for key in (KEY, OTHER)]
    file = tmp_path / "keys"
    file.write_text("# keys\n" + "\n".join(text) + "\n")
    file.chmod(0o600)

    for ring in (EnvironmentKeyRing(environment={"LITHAIR_KEYS": ",".join(text)}), FileKeyRing(file)):
        assert isinstance(ring, KeyRing)
        assert ring.current() == OTHER
        assert ring.key(1) == KEY


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"1:{KEY.export()}")
    file.chmod(0o644)

    with pytest.raises(EncryptionError, match="can be read by others"):
        FileKeyRing(file)


@pytest.mark.parametrize("text", ["", "1", "one:AAAA", "1:not base64!", "1:AAAA", "0:" + KEY.export()])
def test_malformed_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(EncryptionError) as caught:
        EnvironmentKeyRing(environment={"LITHAIR_KEYS": text})

    assert KEY.export() not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None
