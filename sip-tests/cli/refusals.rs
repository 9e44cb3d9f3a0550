//! What is refused, in which words and with which exit code.

use crate::home::{AGENT, CUSTOMER, EXOPHONE, Home, binary, create};

/// ExoPhone, customer, agent, further arguments; the code, and what the message names.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a str, &'a str);

#[test]
fn refusals_of_a_create_say_what_was_wrong() {
    let home = Home::with_exophone();
    let second = "+914412345679";
    home.ok(&["exophone", "add", second]);
    let third = "+919876543212";
    let cases: [Case; 11] = [
        (
            EXOPHONE,
            "9876543210",
            AGENT,
            &[],
            "malformed_number",
            "customer",
        ),
        (
            EXOPHONE,
            CUSTOMER,
            "+0919876543211",
            &[],
            "malformed_number",
            "agent",
        ),
        (
            EXOPHONE,
            "+12345",
            AGENT,
            &[],
            "malformed_number",
            "too short",
        ),
        (
            EXOPHONE,
            "+1234567890123456",
            AGENT,
            &[],
            "malformed_number",
            "too long",
        ),
        (EXOPHONE, CUSTOMER, CUSTOMER, &[], "same_number", CUSTOMER),
        (
            EXOPHONE,
            CUSTOMER,
            AGENT,
            &["--customer", CUSTOMER],
            "same_number",
            "customer",
        ),
        (
            "+914400000000",
            CUSTOMER,
            AGENT,
            &[],
            "unknown_exophone",
            "+914400000000",
        ),
        (EXOPHONE, CUSTOMER, second, &[], "party_is_exophone", second),
        (
            EXOPHONE,
            CUSTOMER,
            AGENT,
            &["--expires-at", "2020-01-01T00:00:00Z"],
            "expiry_in_past",
            "expiry",
        ),
        (
            EXOPHONE,
            CUSTOMER,
            AGENT,
            &["--expires-at", "tomorrow"],
            "malformed_time",
            "tomorrow",
        ),
        (
            EXOPHONE,
            third,
            AGENT,
            &["--account", "nobody"],
            "unknown_account",
            "nobody",
        ),
    ];
    for (exophone, customer, agent, more, code, says) in cases {
        let mut args = create(exophone, customer, agent).to_vec();
        args.extend(more);
        let error = home.refused(&args);
        assert_eq!(error["code"], code, "{args:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{args:?}: {error}");
    }
    assert_eq!(
        home.json(&["allocation", "list"]),
        serde_json::json!([]),
        "nothing was made"
    );
}

#[test]
fn a_duplicate_names_its_blocker() {
    let home = Home::with_exophone();
    let id = home.allocation();
    let args = create(EXOPHONE, "+919876543212", "+919876543213");
    let error = home.refused(&args);
    assert_eq!(
        (&error["code"], &error["blocking_id"]),
        (&"exophone_taken".into(), &id.clone().into())
    );
    let said = home.run(&args);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.starts_with("callmask: ") && said.err.contains(&id),
        "{}",
        said.err
    );
    home.ok(&["allocation", "deactivate", &id]);
    home.ok(&args);
}

#[test]
fn per_party_exophones_refuse_a_repeated_party() {
    let home = Home::new();
    home.ok(&["exophone", "add", EXOPHONE, "--sharing", "per-party"]);
    let id = home.allocation();
    home.ok(&create(EXOPHONE, "+919876543212", "+919876543213"));
    let error = home.refused(&create(EXOPHONE, "+919876543214", AGENT));
    assert_eq!(
        (&error["code"], &error["blocking_id"]),
        (&"party_taken".into(), &id.into())
    );
}

#[test]
fn refusals_about_exophones() {
    let home = Home::with_exophone();
    let id = home.allocation();
    let cases: [(&[&str], &str); 7] = [
        (&["exophone", "add", EXOPHONE], "exophone_exists"),
        (&["exophone", "add", CUSTOMER], "exophone_is_party"),
        (&["exophone", "add", "4412345678"], "malformed_number"),
        (
            &["exophone", "add", "+914412345679", "--trunk", "none"],
            "unknown_trunk",
        ),
        (
            &[
                "exophone",
                "add",
                "+914412345679",
                "--announcement",
                "/nowhere.wav",
            ],
            "announcement_file",
        ),
        (&["exophone", "show", "+914412345679"], "unknown_exophone"),
        (&["exophone", "remove", EXOPHONE], "exophone_in_use"),
    ];
    for (args, code) in cases {
        assert_eq!(home.refused(args)["code"], code, "{args:?}");
    }
    assert_eq!(
        home.refused(&["exophone", "remove", EXOPHONE])["blocking_id"],
        id
    );
}

#[test]
fn refusals_about_ids_and_versions() {
    let home = Home::with_exophone();
    let id = home.allocation();
    let nobody = "0123456789ab7fffbfffffffffffffff";
    let cases: [(&[&str], &str); 6] = [
        (&["allocation", "show", nobody], "unknown_allocation"),
        (&["allocation", "show", "x/y?z"], "malformed_id"),
        (&["allocation", "deactivate", nobody], "unknown_allocation"),
        (
            &[
                "allocation",
                "update",
                &id,
                "--custom",
                "x",
                "--expected-version",
                "9",
            ],
            "version_mismatch",
        ),
        (&["call", "show", nobody], "unknown_call"),
        (&["call", "hangup", nobody], "unknown_call"),
    ];
    for (args, code) in cases {
        assert_eq!(home.refused(args)["code"], code, "{args:?}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let home = Home::new();
    let cases: [&[&str]; 8] = [
        &[],
        &["no-such-thing"],
        &["allocation", "create"],
        &["allocation", "update", "0123456789ab7fffbfffffffffffffff"],
        &["exophone", "set", EXOPHONE],
        &[
            "allocation",
            "create",
            "--exophone",
            EXOPHONE,
            "--customer",
            CUSTOMER,
            "--agent",
            AGENT,
            "--expires-in",
            "2",
        ],
        &[
            "allocation",
            "create",
            "--exophone",
            EXOPHONE,
            "--customer",
            CUSTOMER,
            "--agent",
            AGENT,
            "--expires-in",
            "2h",
            "--expires-at",
            "2099-01-01T00:00:00Z",
        ],
        &["exophone", "add", EXOPHONE, "--sharing", "open"],
    ];
    for args in cases {
        let said = home.run(args);
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert_eq!(said.out, "", "{args:?}");
        assert!(!said.err.is_empty());
    }
    for args in [
        &["--help"][..],
        &["--version"],
        &["allocation", "create", "--help"],
    ] {
        let output = binary().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_broken_configuration_is_refused_with_its_line() {
    let home = Home::new();
    home.write("callmask.toml", "[store]\npaht = \"data\"\n");
    for args in [&["check"][..], &["allocation", "list"]] {
        let error = home.refused(args);
        assert_eq!(error["code"], "bad_config");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("callmask.toml:2: [store] paht"),
            "{message}"
        );
        assert_eq!(error["remedy"], "did you mean path?");
    }
    let said = home.run(&["check"]);
    assert!(said.err.contains("callmask.toml:2") && said.err.contains("did you mean path?"));
}

#[test]
fn a_missing_announcement_names_the_folder_also_of_a_bare_configuration_file() {
    let home = Home::new();
    let said = binary()
        .current_dir(home.path(""))
        .args(["--config", "callmask.toml", "exophone", "add", EXOPHONE])
        .args(["--announcement", "nope.wav"])
        .output()
        .unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    let folder = home.path("").canonicalize().unwrap();
    assert!(error.contains(folder.to_str().unwrap()), "{error}");
}
