//! The storage format: compressed (zstd), and encrypted if there is a key.
//!
//! Encryption is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: <https://eprint.iacr.org/2015/189>) over
//! XChaCha20-Poly1305: a header line, 19 random bytes, then segments of 64 KiB, each with a tag of 16 bytes. Changed,
//! reordered or missing segments are detected.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::XChaCha20Poly1305;
use chassis::config::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FILE_HEADER: &[u8] = b"proofsheet-backup 1: XChaCha20-Poly1305 STREAM-BE32\n";
const NONCE_BYTES: usize = 19;
const SEGMENT_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
/// A fast level; the disk is the bottleneck.
const ZSTD_LEVEL: i32 = 3;

/// The encryption key of backups.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Derives the key from a random secret.
    pub fn of(secret: &Secret) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"proofsheet backup key\n");
        hash.update(secret.expose());
        Self(hash.finalize().into())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// How an object is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// Compressed with zstd.
    pub compressed: bool,
    /// Encrypted with the key.
    #[serde(rename = "sealed")]
    pub encrypted: bool,
}

/// A size and a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Fingerprint {
    /// Returns the fingerprint of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = FingerprintHasher::default();
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Computes a [`Fingerprint`] of streamed data.
#[derive(Default)]
pub struct FingerprintHasher {
    bytes: u64,
    hash: Sha256,
}

impl FingerprintHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// Returns the fingerprint.
    pub fn finish(self) -> Fingerprint {
        Fingerprint {
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Packs a stream of bytes.
pub struct Packer {
    zstd: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    encryptor: Option<Encryptor>,
}

impl Packer {
    /// Creates a packer.
    pub fn new(compress: bool, key: Option<&Key>) -> io::Result<Self> {
        let zstd = if compress {
            Some(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)
        } else {
            None
        };
        Ok(Self {
            zstd,
            encryptor: key.map(Encryptor::new),
        })
    }

    /// Adds bytes, and returns the output that is ready.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let compressed = match &mut self.zstd {
            Some(zstd) => {
                zstd.write_all(bytes)?;
                std::mem::take(zstd.get_mut())
            }
            None => bytes.to_vec(),
        };
        Ok(match &mut self.encryptor {
            Some(encryptor) => encryptor.push(&compressed),
            None => compressed,
        })
    }

    /// Returns the remaining output.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let rest = match self.zstd {
            Some(zstd) => zstd.finish()?,
            None => Vec::new(),
        };
        Ok(match self.encryptor {
            Some(encryptor) => encryptor.finish(&rest),
            None => rest,
        })
    }
}

/// Why an object cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The first segment cannot be decrypted.
    WrongKey,
    /// The data was changed.
    Damaged(&'static str),
}

/// Unpacks a stream of bytes.
pub struct Unpacker {
    decryptor: Option<Decryptor>,
    zstd: Option<zstd::stream::write::Decoder<'static, Vec<u8>>>,
}

impl Unpacker {
    /// Creates an unpacker. `key` decrypts the data.
    pub fn new(compressed: bool, key: Option<&Key>) -> io::Result<Self> {
        let zstd = if compressed {
            Some(zstd::stream::write::Decoder::new(Vec::new())?)
        } else {
            None
        };
        Ok(Self {
            decryptor: key.map(Decryptor::new),
            zstd,
        })
    }

    /// Adds bytes, and returns the unpacked output.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let opened = match &mut self.decryptor {
            Some(decryptor) => decryptor.push(bytes)?,
            None => bytes.to_vec(),
        };
        self.decompress(opened)
    }

    /// Returns the remaining output.
    pub fn finish(mut self) -> Result<Vec<u8>, Unreadable> {
        let rest = match self.decryptor.take() {
            Some(decryptor) => decryptor.finish()?,
            None => Vec::new(),
        };
        let mut rest = self.decompress(rest)?;
        if let Some(zstd) = &mut self.zstd {
            zstd.flush()
                .map_err(|_| Unreadable::Damaged("it cannot be decompressed"))?;
            rest.append(zstd.get_mut());
        }
        Ok(rest)
    }

    fn decompress(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        let Some(zstd) = &mut self.zstd else {
            return Ok(bytes);
        };
        zstd.write_all(&bytes)
            .map_err(|_| Unreadable::Damaged("it cannot be decompressed"))?;
        Ok(std::mem::take(zstd.get_mut()))
    }
}

struct Encryptor {
    stream: EncryptorBE32<XChaCha20Poly1305>,
    waiting: Vec<u8>,
    /// The header, which is stored first.
    head: Vec<u8>,
}

/// A segment is encrypted unless there are 2^32 of them, which are 256 TiB.
const SEGMENT_LIMIT_HOLDS: &str = "fewer than 2^32 segments";

impl Encryptor {
    fn new(key: &Key) -> Self {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        Self {
            stream: EncryptorBE32::new(&key.0.into(), &nonce.into()),
            waiting: Vec::new(),
            head: [FILE_HEADER, &nonce].concat(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut encrypted = std::mem::take(&mut self.head);
        self.waiting.extend_from_slice(bytes);
        // One segment is held back, because the last one is encrypted differently.
        let whole = self.waiting.len().saturating_sub(1) / SEGMENT_BYTES * SEGMENT_BYTES;
        for segment in self.waiting[..whole].chunks(SEGMENT_BYTES) {
            encrypted.extend(self.stream.encrypt_next(segment).expect(SEGMENT_LIMIT_HOLDS));
        }
        self.waiting.drain(..whole);
        encrypted
    }

    fn finish(mut self, rest: &[u8]) -> Vec<u8> {
        let mut encrypted = self.push(rest);
        encrypted.extend(
            self.stream
                .encrypt_last(&*self.waiting)
                .expect(SEGMENT_LIMIT_HOLDS),
        );
        encrypted
    }
}

struct Decryptor {
    key: Key,
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    waiting: Vec<u8>,
    begun: bool,
}

impl Decryptor {
    fn new(key: &Key) -> Self {
        Self {
            key: key.clone(),
            stream: None,
            waiting: Vec::new(),
            begun: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.waiting.extend_from_slice(bytes);
        self.begin()?;
        let mut opened = Vec::new();
        let Some(stream) = &mut self.stream else {
            return Ok(opened);
        };
        let whole =
            self.waiting.len().saturating_sub(1) / (SEGMENT_BYTES + TAG_BYTES) * (SEGMENT_BYTES + TAG_BYTES);
        for segment in self.waiting[..whole].chunks(SEGMENT_BYTES + TAG_BYTES) {
            opened.extend(stream.decrypt_next(segment).map_err(|_| unreadable(self.begun))?);
            self.begun = true;
        }
        self.waiting.drain(..whole);
        Ok(opened)
    }

    /// Reads the header and the nonce.
    fn begin(&mut self) -> Result<(), Unreadable> {
        if self.stream.is_some() {
            return Ok(());
        }
        let known = self.waiting.len().min(FILE_HEADER.len());
        if self.waiting[..known] != FILE_HEADER[..known] {
            return Err(Unreadable::Damaged(
                "its header is not that of an encrypted object",
            ));
        }
        let nonce = self.waiting[known..].first_chunk::<NONCE_BYTES>();
        if let Some(nonce) = nonce {
            self.stream = Some(DecryptorBE32::new(&self.key.0.into(), &(*nonce).into()));
            self.waiting.drain(..FILE_HEADER.len() + NONCE_BYTES);
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Unreadable> {
        let stream = self.stream.ok_or(Unreadable::Damaged("it is incomplete"))?;
        stream
            .decrypt_last(&*self.waiting)
            .map_err(|_| unreadable(self.begun))
    }
}

/// If one segment could be decrypted, the key is correct.
fn unreadable(begun: bool) -> Unreadable {
    if begun {
        Unreadable::Damaged("a part was changed or is missing")
    } else {
        Unreadable::WrongKey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::of(&Secret::new(text))
    }

    fn pack(contents: &[u8], packing: Packing, piece: usize) -> Vec<u8> {
        let key = key("one key");
        let mut packer = Packer::new(packing.compressed, packing.encrypted.then_some(&key)).unwrap();
        let mut stored = Vec::new();
        for piece in contents.chunks(piece) {
            stored.extend(packer.push(piece).unwrap());
        }
        stored.extend(packer.finish().unwrap());
        stored
    }

    fn unpack(packed: &[u8], packing: Packing, key: &Key, piece: usize) -> Result<Vec<u8>, Unreadable> {
        let mut unpacker = Unpacker::new(packing.compressed, packing.encrypted.then_some(key)).unwrap();
        let mut contents = Vec::new();
        for piece in packed.chunks(piece) {
            contents.extend(unpacker.push(piece)?);
        }
        contents.extend(unpacker.finish()?);
        Ok(contents)
    }

    fn some_bytes(length: usize) -> Vec<u8> {
        (0..251).cycle().take(length).collect()
    }

    #[test]
    fn packed_data_is_unpacked() {
        for length in [
            0,
            1,
            SEGMENT_BYTES - 1,
            SEGMENT_BYTES,
            SEGMENT_BYTES + 1,
            3 * SEGMENT_BYTES + 7,
        ] {
            let contents = some_bytes(length);
            for (compressed, encrypted) in [(false, false), (true, false), (false, true), (true, true)] {
                let packing = Packing {
                    compressed,
                    encrypted,
                };
                let packed = pack(&contents, packing, 10_000);
                let unpacked = unpack(&packed, packing, &key("one key"), 77_777);
                assert_eq!(unpacked.as_deref(), Ok(&*contents), "{length} bytes, {packing:?}");
            }
        }
    }

    #[test]
    fn a_wrong_key_and_damage_are_distinguished() {
        let sealed = Packing {
            compressed: false,
            encrypted: true,
        };
        let packed = pack(&some_bytes(2 * SEGMENT_BYTES), sealed, 10_000);
        let other = unpack(&packed, sealed, &key("another key"), 4096);
        assert_eq!(other, Err(Unreadable::WrongKey));
        let mut changed = packed.clone();
        *changed.last_mut().unwrap() ^= 1;
        let changed = unpack(&changed, sealed, &key("one key"), 4096);
        assert!(matches!(changed, Err(Unreadable::Damaged(_))), "{changed:?}");
        // Cut where a segment ends.
        let cut = &packed[..packed.len() - SEGMENT_BYTES - TAG_BYTES];
        assert!(unpack(cut, sealed, &key("one key"), 4096).is_err());
    }
}
