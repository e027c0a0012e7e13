//! How contents are stored: compressed (zstd), and encrypted if there is a key.
//!
//! Encryption is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: <https://eprint.iacr.org/2015/189>) over
//! XChaCha20-Poly1305: a line that says so, 19 random bytes, then segments of 64 KiB, each with a tag of 16 bytes. It
//! shows when segments are changed, exchanged, left out, or missing at the end.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::XChaCha20Poly1305;
use chassis::config::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const HEAD: &[u8] = b"proofsheet-backup 1: XChaCha20-Poly1305 STREAM-BE32\n";
const NONCE: usize = 19;
const SEGMENT: usize = 64 * 1024;
const TAG: usize = 16;
/// Fast, and what is slow here anyway is the disk.
const LEVEL: i32 = 3;

/// The encryption key of backups.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// The key that belongs to a secret, which is random itself.
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

/// How something was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// With zstd.
    pub compressed: bool,
    /// With the key.
    pub sealed: bool,
}

/// A size and a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Print {
    /// Of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut printer = Printer::default();
        printer.update(bytes);
        printer.finish()
    }
}

/// Makes a [`Print`] of what comes by.
#[derive(Default)]
pub struct Printer {
    bytes: u64,
    hash: Sha256,
}

impl Printer {
    /// Takes note of the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// All of them.
    pub fn finish(self) -> Print {
        Print {
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

/// Packs what is pushed into it.
pub struct Packer {
    zstd: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    sealer: Option<Sealer>,
}

impl Packer {
    /// Nothing packed yet.
    pub fn new(compress: bool, key: Option<&Key>) -> io::Result<Self> {
        let zstd = if compress {
            Some(zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?)
        } else {
            None
        };
        Ok(Self {
            zstd,
            sealer: key.map(Sealer::new),
        })
    }

    /// Takes the next bytes, and gives what can be stored of them already.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let compressed = match &mut self.zstd {
            Some(zstd) => {
                zstd.write_all(bytes)?;
                std::mem::take(zstd.get_mut())
            }
            None => bytes.to_vec(),
        };
        Ok(match &mut self.sealer {
            Some(sealer) => sealer.push(&compressed),
            None => compressed,
        })
    }

    /// Gives the rest.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let rest = match self.zstd {
            Some(zstd) => zstd.finish()?,
            None => Vec::new(),
        };
        Ok(match self.sealer {
            Some(sealer) => sealer.finish(&rest),
            None => rest,
        })
    }
}

/// Why something cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The key opens not even its beginning.
    WrongKey,
    /// It is not what was packed.
    Damaged(&'static str),
}

/// Unpacks what is pushed into it.
pub struct Unpacker {
    opener: Option<Opener>,
    zstd: Option<zstd::stream::write::Decoder<'static, Vec<u8>>>,
}

impl Unpacker {
    /// Nothing unpacked yet. `key` opens what is sealed.
    pub fn new(compressed: bool, key: Option<&Key>) -> io::Result<Self> {
        let zstd = if compressed {
            Some(zstd::stream::write::Decoder::new(Vec::new())?)
        } else {
            None
        };
        Ok(Self {
            opener: key.map(Opener::new),
            zstd,
        })
    }

    /// Takes the next bytes, and gives what they hold.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let opened = match &mut self.opener {
            Some(opener) => opener.push(bytes)?,
            None => bytes.to_vec(),
        };
        self.decompress(opened)
    }

    /// Gives the rest.
    pub fn finish(mut self) -> Result<Vec<u8>, Unreadable> {
        let rest = match self.opener.take() {
            Some(opener) => opener.finish()?,
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

struct Sealer {
    stream: EncryptorBE32<XChaCha20Poly1305>,
    waiting: Vec<u8>,
    /// The header, which is stored first.
    head: Vec<u8>,
}

/// A segment is encrypted unless there are 2^32 of them, which are 256 TiB.
const SEGMENT_LIMIT_HOLDS: &str = "fewer than 2^32 segments";

impl Sealer {
    fn new(key: &Key) -> Self {
        let nonce: [u8; NONCE] = rand::random();
        Self {
            stream: EncryptorBE32::new(&key.0.into(), &nonce.into()),
            waiting: Vec::new(),
            head: [HEAD, &nonce].concat(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = std::mem::take(&mut self.head);
        self.waiting.extend_from_slice(bytes);
        // The last segment is sealed as such, so one is kept back.
        let whole = self.waiting.len().saturating_sub(1) / SEGMENT * SEGMENT;
        for segment in self.waiting[..whole].chunks(SEGMENT) {
            sealed.extend(self.stream.encrypt_next(segment).expect(SEGMENT_LIMIT_HOLDS));
        }
        self.waiting.drain(..whole);
        sealed
    }

    fn finish(mut self, rest: &[u8]) -> Vec<u8> {
        let mut sealed = self.push(rest);
        sealed.extend(
            self.stream
                .encrypt_last(&*self.waiting)
                .expect(SEGMENT_LIMIT_HOLDS),
        );
        sealed
    }
}

struct Opener {
    key: Key,
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    waiting: Vec<u8>,
    begun: bool,
}

impl Opener {
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
        let whole = self.waiting.len().saturating_sub(1) / (SEGMENT + TAG) * (SEGMENT + TAG);
        for segment in self.waiting[..whole].chunks(SEGMENT + TAG) {
            opened.extend(stream.decrypt_next(segment).map_err(|_| unreadable(self.begun))?);
            self.begun = true;
        }
        self.waiting.drain(..whole);
        Ok(opened)
    }

    /// Reads what is before the first segment.
    fn begin(&mut self) -> Result<(), Unreadable> {
        if self.stream.is_some() {
            return Ok(());
        }
        let known = self.waiting.len().min(HEAD.len());
        if self.waiting[..known] != HEAD[..known] {
            return Err(Unreadable::Damaged("it does not begin like something encrypted"));
        }
        let nonce = self.waiting[known..].first_chunk::<NONCE>();
        if let Some(nonce) = nonce {
            self.stream = Some(DecryptorBE32::new(&self.key.0.into(), &(*nonce).into()));
            self.waiting.drain(..HEAD.len() + NONCE);
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Unreadable> {
        let stream = self
            .stream
            .ok_or(Unreadable::Damaged("it ends before it begins"))?;
        stream
            .decrypt_last(&*self.waiting)
            .map_err(|_| unreadable(self.begun))
    }
}

/// A key that opened one segment is the right one.
fn unreadable(begun: bool) -> Unreadable {
    if begun {
        Unreadable::Damaged("a part of it was changed, or is missing")
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
        let mut packer = Packer::new(packing.compressed, packing.sealed.then_some(&key)).unwrap();
        let mut stored = Vec::new();
        for piece in contents.chunks(piece) {
            stored.extend(packer.push(piece).unwrap());
        }
        stored.extend(packer.finish().unwrap());
        stored
    }

    fn unpack(packed: &[u8], packing: Packing, key: &Key, piece: usize) -> Result<Vec<u8>, Unreadable> {
        let mut unpacker = Unpacker::new(packing.compressed, packing.sealed.then_some(key)).unwrap();
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
    fn what_is_packed_comes_out_again() {
        for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 7] {
            let contents = some_bytes(length);
            for (compressed, sealed) in [(false, false), (true, false), (false, true), (true, true)] {
                let packing = Packing { compressed, sealed };
                let packed = pack(&contents, packing, 10_000);
                let unpacked = unpack(&packed, packing, &key("one key"), 77_777);
                assert_eq!(unpacked.as_deref(), Ok(&*contents), "{length} bytes, {packing:?}");
            }
        }
    }

    #[test]
    fn another_key_and_a_change_are_told_apart() {
        let sealed = Packing {
            compressed: false,
            sealed: true,
        };
        let packed = pack(&some_bytes(2 * SEGMENT), sealed, 10_000);
        let other = unpack(&packed, sealed, &key("another key"), 4096);
        assert_eq!(other, Err(Unreadable::WrongKey));
        let mut changed = packed.clone();
        *changed.last_mut().unwrap() ^= 1;
        let changed = unpack(&changed, sealed, &key("one key"), 4096);
        assert!(matches!(changed, Err(Unreadable::Damaged(_))), "{changed:?}");
        // Cut where a segment ends.
        let cut = &packed[..packed.len() - SEGMENT - TAG];
        assert!(unpack(cut, sealed, &key("one key"), 4096).is_err());
    }
}
