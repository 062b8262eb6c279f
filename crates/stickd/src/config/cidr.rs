//! Blocks of addresses, such as `127.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A block of IP addresses: those that share the first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a word is not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CidrError {
    #[error("an address such as 10.0.0.0/8 or 2001:db8::/32 is expected")]
    Address,
    #[error("the prefix length is a number of bits, 0 to {0}")]
    Prefix(u8),
    #[error("bits are set after the prefix: write {0}")]
    HostBits(Cidr),
}

impl Cidr {
    /// Whether an address is in the block. IPv4 addresses that come mapped into IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                (block.to_bits() ^ address.to_bits()) & v4_mask(self.prefix) == 0
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                (block.to_bits() ^ address.to_bits()) & v6_mask(self.prefix) == 0
            }
            _ => false,
        }
    }
}

fn v4_mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn v6_mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `address/bits`; an address alone is a block of one.
    fn from_str(word: &str) -> Result<Self, CidrError> {
        let (address, prefix) = word.split_once('/').map_or((word, None), |(word, bits)| (word, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|&prefix| prefix <= bits).ok_or(CidrError::Prefix(bits))?
            }
            Some(_) => return Err(CidrError::Prefix(bits)),
        };
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & v4_mask(prefix))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & v6_mask(prefix))),
        };
        let block = Self { address: first, prefix };
        if first == address { Ok(block) } else { Err(CidrError::HostBits(block)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_their_addresses() {
        for (block, address, contained) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("::1/128", "::1", true),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
        ] {
            let block: Cidr = block.parse().unwrap();
            assert_eq!(block.contains(address.parse().unwrap()), contained, "{block} {address}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for (word, message) in [
            ("localhost", "an address such as 10.0.0.0/8 or 2001:db8::/32 is expected"),
            ("10.0.0.0/33", "the prefix length is a number of bits, 0 to 32"),
            ("10.0.0.0/", "the prefix length is a number of bits, 0 to 32"),
            ("::/+1", "the prefix length is a number of bits, 0 to 128"),
            ("10.0.0.1/8", "bits are set after the prefix: write 10.0.0.0/8"),
        ] {
            assert_eq!(word.parse::<Cidr>().unwrap_err().to_string(), message, "{word}");
        }
    }
}
