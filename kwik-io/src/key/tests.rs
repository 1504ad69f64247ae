#![allow(clippy::unwrap_used)]

use super::*;
use kwik_core::time::WallTime;

fn key(seed: u64) -> IdentityKey {
    IdentityKey::generate(&Env::seeded(seed, WallTime(0)))
}

/// The key of RFC 8032, 7.1, test 1; its lines and id were made with another program, from the PASERK specification.
#[test]
fn lines_are_paserk() {
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let key = IdentityKey::from_seed(&seed).unwrap();
    let public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(key.public().to_string(), format!("k4.public.{public}"));
    let secret = "k4.secret.nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL_tPJZAc6DuFy89qmIyWvAhpo9wdRGg";
    assert_eq!(key.to_paserk(), secret);
    let id = "k4.pid.wD8w4xDqH9GXKzCEqH22G-IynZ8HLu_9Xs_oZDCH2CMa";
    assert_eq!(key.public().id().as_str(), id);
}

#[test]
fn keys_survive_their_lines() {
    let key = key(1);
    assert_eq!(key.to_paserk().parse::<IdentityKey>().unwrap().public(), key.public());
    assert_eq!(key.public().to_string().parse(), Ok(key.public().clone()));
}

#[test]
fn different_keys_have_different_ids() {
    assert_ne!(key(1).public().id(), key(2).public().id());
}

#[test]
fn a_bad_line_says_what_is_needed() {
    let secret = key(1).to_paserk();
    let public = key(1).public().to_string();
    let parse = |line: &str| line.parse::<IdentityKey>().map(|_| ()).unwrap_err();
    assert_eq!(parse(""), KeyError::Secret);
    assert_eq!(parse(&public), KeyError::Secret);
    // The library that reads the line would panic.
    assert_eq!(parse(&format!("k4.secret.{}", "A".repeat(86))), KeyError::Secret);
    assert_eq!(parse(&secret[..secret.len() - 2]), KeyError::Secret);
    assert_eq!("".parse::<PublicKey>(), Err(KeyError::Public));
    assert_eq!("k4.public.AAAA".parse::<PublicKey>(), Err(KeyError::Public));
    assert_eq!(secret.parse::<PublicKey>(), Err(KeyError::SecretForPublic));
}

#[test]
fn a_secret_key_whose_halves_differ_is_refused() {
    let halves = [*key(1).secret.as_bytes().first_chunk::<32>().unwrap(), *key(2).public().bytes()];
    assert!(AsymmetricSecretKey::<V4>::from(&halves.concat()).is_err());
}

#[test]
fn the_debug_text_keeps_the_key_secret() {
    let key = key(1);
    assert_eq!(format!("{key:?}"), format!("IdentityKey({})", key.public().id()));
}

#[test]
fn files_are_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let (secret, public) = (directory.path().join("p.key"), directory.path().join("p.pub"));
    let key = key(1);
    key.save_new(&secret).unwrap();
    key.public().save_new(&public).unwrap();
    assert_eq!(IdentityKey::load(&secret).unwrap().public(), key.public());
    assert_eq!(&PublicKey::load(&public).unwrap(), key.public());
}

#[test]
fn a_key_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.key");
    key(1).save_new(&path).unwrap();
    assert!(matches!(key(2).save_new(&path), Err(KeyFileError::Exists { .. })));
    assert_eq!(IdentityKey::load(&path).unwrap().public(), key(1).public());
}

#[cfg(unix)]
#[test]
fn a_secret_key_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.key");
    key(1).save_new(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(IdentityKey::load(&path), Err(KeyFileError::Readable { .. })));
}

#[test]
fn errors_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.key");
    let error = IdentityKey::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}

#[test]
fn a_signature_is_of_one_key_and_one_message() {
    let signature = key(1).sign(b"message");
    assert!(key(1).public().verifies(b"message", &signature));
    assert!(!key(1).public().verifies(b"massage", &signature));
    assert!(!key(2).public().verifies(b"message", &signature));
}

#[test]
fn only_named_keys_are_trusted() {
    let trusted = TrustedKeys::from_iter([key(1).public().clone()]);
    assert_eq!(trusted.find(key(1).public().id().as_str()), Some(key(1).public()));
    assert_eq!(trusted.find(key(2).public().id().as_str()), None);
    assert!(!trusted.is_empty());
    assert!(TrustedKeys::default().is_empty());
}
