//! The kernels: work that needs nothing but a processor and a megabyte. The guest and the native
//! program `tests/kernels` are made from this very file. Each kernel does its work `n` times and returns a
//! checksum, which must be the same wherever it was computed.

use std::hint::black_box;
use std::time::Instant;

const MIB: usize = 1 << 20;

/// Runs `KERNEL N`: its checksum and the nanoseconds that it took, or what is wrong with the request.
pub fn timed(request: &str) -> Result<String, String> {
    let known = "expected: empty|sieve|sha256|json|fib N";
    let (name, n) = request.trim().split_once(' ').ok_or(known)?;
    let n = black_box(n.parse().map_err(|_| known)?);
    let kernel: fn(&mut [u8], u32) -> u32 = match name {
        "empty" => |_, n| n,
        "sieve" => sieve,
        "sha256" => sha256,
        "json" => json,
        "fib" => |_, n| fib(n),
        _ => return Err(known.to_owned()),
    };
    // Touched, so that no page is faulted in while the clock runs.
    let mut memory = vec![1_u8; MIB];
    let begun = Instant::now();
    let checksum = kernel(black_box(&mut memory), n);
    Ok(format!("{checksum} {}", begun.elapsed().as_nanos()))
}

/// Loads and stores of bytes: counts the primes below 2^20.
fn sieve(crossed_out: &mut [u8], n: u32) -> u32 {
    let mut primes = 0;
    for _ in 0..n {
        crossed_out.fill(0);
        for candidate in 2..crossed_out.len() {
            if crossed_out[candidate] != 0 {
                continue;
            }
            primes += 1;
            let mut multiple = candidate.saturating_mul(candidate);
            while multiple < crossed_out.len() {
                crossed_out[multiple] = 1;
                multiple += candidate;
            }
        }
    }
    primes
}

/// Arithmetic on 32 bits: SHA-256 of a mebibyte, whose first byte depends on the digest before.
fn sha256(data: &mut [u8], n: u32) -> u32 {
    for (at, byte) in data.iter_mut().enumerate() {
        *byte = (at % 251) as u8;
    }
    let mut digest = [0; 8];
    for _ in 0..n {
        data[0] = data[0].wrapping_add(digest[7] as u8);
        digest = sha256_of_blocks(data);
    }
    digest[0]
}

/// FIPS 180-4, section 6.2, for data of whole blocks.
fn sha256_of_blocks(data: &[u8]) -> [u32; 8] {
    let mut hash = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    let mut padding = [0; 64];
    padding[0] = 0x80;
    padding[56..].copy_from_slice(&(8 * data.len() as u64).to_be_bytes());
    for block in data.chunks_exact(64) {
        sha256_block(&mut hash, block);
    }
    sha256_block(&mut hash, &padding);
    hash
}

fn sha256_block(hash: &mut [u32; 8], block: &[u8]) {
    let mut schedule = [0_u32; 64];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    }
    for t in 16..64 {
        let (near, far) = (schedule[t - 2], schedule[t - 15]);
        let near = near.rotate_right(17) ^ near.rotate_right(19) ^ (near >> 10);
        let far = far.rotate_right(7) ^ far.rotate_right(18) ^ (far >> 3);
        let sum = near.wrapping_add(schedule[t - 7]).wrapping_add(far);
        schedule[t] = sum.wrapping_add(schedule[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *hash;
    for (word, constant) in schedule.into_iter().zip(ROUND_CONSTANTS) {
        let choice = g ^ (e & (f ^ g));
        let stirred = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let first = h.wrapping_add(stirred).wrapping_add(choice);
        let first = first.wrapping_add(constant).wrapping_add(word);
        let majority = (a & b) | (c & (a | b));
        let second = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(second).wrapping_add(majority));
    }
    for (sum, word) in hash.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = sum.wrapping_add(word);
    }
}

/// FIPS 180-4, section 4.2.2: the first fractional bits of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// One reading of a sensor, as it may stand in a report.
const READING: &[u8] =
    br#"{ "node": "roof-17", "seq": 90210, "up": true, "t\u00b0": [ -4.25, 1.3e2, 0.5, null ] }, "#;

/// Branches, calls and 64 bits, as in a handler of messages: takes a report of 64 KiB apart.
/// Of its time as a guest half is one load for each token, of eight bytes that were stored as twice four just before: so
/// LLVM compiles what `token` returns. That is why it is the slowest of the four, natively too.
fn json(memory: &mut [u8], n: u32) -> u32 {
    let report = &mut memory[..(64 << 10) / READING.len() * READING.len()];
    for reading in report.chunks_exact_mut(READING.len()) {
        reading.copy_from_slice(READING);
    }
    let mut sum = 0_u32;
    for _ in 0..n {
        let mut text = &*report;
        while let Some((value, rest)) = token(text) {
            sum = sum.wrapping_mul(31).wrapping_add(value);
            text = rest;
        }
    }
    sum
}

/// A number that stands for the first token of the text, and what comes after it.
#[inline(never)]
fn token(mut text: &[u8]) -> Option<(u32, &[u8])> {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    let (&first, rest) = text.split_first()?;
    Some(match first {
        b'"' => string(rest),
        b'-' | b'0'..=b'9' => number(text),
        b'a'..=b'z' => word(text),
        mark => (u32::from(mark), rest),
    })
}

/// A string without its first quote: FNV-1a of what is in it.
fn string(mut text: &[u8]) -> (u32, &[u8]) {
    let mut hash = 0x811c_9dc5_u32;
    while let [byte, rest @ ..] = text {
        text = rest;
        match byte {
            b'"' => break,
            b'\\' => text = text.get(1..).unwrap_or_default(),
            _ => hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193),
        }
    }
    (hash, text)
}

/// A number: its digits as one integer, and where its point was.
fn number(mut text: &[u8]) -> (u32, &[u8]) {
    let (mut digits, mut after_point, mut point) = (0_u64, 0_u32, false);
    while let [byte, rest @ ..] = text {
        match byte {
            b'0'..=b'9' => {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                after_point += u32::from(point);
            }
            b'.' => point = true,
            b'+' | b'-' | b'e' | b'E' => after_point += 100,
            _ => break,
        }
        text = rest;
    }
    ((digits ^ digits >> 32) as u32 ^ after_point, text)
}

/// `true`, `false`, `null`: its length.
fn word(text: &[u8]) -> (u32, &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    (length as u32, &text[length..])
}

/// Calls: a Fibonacci number, the slow way.
#[inline(never)]
fn fib(n: u32) -> u32 {
    if n < 2 { n } else { fib(n - 1).wrapping_add(fib(n - 2)) }
}
