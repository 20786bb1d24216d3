import Foundation
import Testing
import VDriveTestKit

/// Real programs at work on a mounted disk. Each step is noted outside of the disk once it is acknowledged, and can be
/// checked afterwards.
enum Workload: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqliteWAL = "SQLite, WAL"
    case sqliteDelete = "SQLite, rollback journal"
    case gitClone = "git clone"
    case tar

    var testDescription: String { rawValue }

    /// Rows, each acknowledged by SQLite with `synchronous=FULL`. With a rollback journal it is the journal's removal
    /// that commits, and only EXTRA syncs the folder after it.
    private static let insertRows = """
        import random, sqlite3, sys
        mount, notes, mode = sys.argv[1:]
        rows = sqlite3.connect(mount + "/rows.db", isolation_level=None, timeout=60)
        rows.execute("PRAGMA journal_mode=" + mode)
        rows.execute("PRAGMA synchronous=" + ("FULL" if mode == "WAL" else "EXTRA"))
        rows.execute("PRAGMA wal_autocheckpoint=50")
        rows.execute("CREATE TABLE IF NOT EXISTS rows(number INTEGER PRIMARY KEY, text TEXT, check_sum INTEGER)")
        number = rows.execute("SELECT ifnull(max(number), 0) FROM rows").fetchone()[0]
        with open(notes, "a", buffering=1) as noted:
            while True:
                number += 1
                text = str(number) * random.randrange(1, 1500)
                rows.execute("INSERT INTO rows VALUES(?, ?, ?)", (number, text, len(text)))
                noted.write(f"{number}\\n")
        """

    /// Rows are 1 to the last, whole, and not fewer than demanded.
    private static let checkRows = """
        import os, sqlite3, sys
        mount, least = sys.argv[1], int(sys.argv[2])
        if least == 0 and not os.path.exists(mount + "/rows.db"): sys.exit()
        rows = sqlite3.connect(mount + "/rows.db", isolation_level=None)
        result = rows.execute("PRAGMA integrity_check").fetchall()
        assert result == [("ok",)], result
        if least == 0 and not rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall(): sys.exit()
        count, last = rows.execute("SELECT count(*), ifnull(max(number), 0) FROM rows").fetchone()
        assert count == last >= least, f"{count} rows up to {last}, and {least} were acknowledged"
        bad = rows.execute("SELECT number FROM rows WHERE length(text) != check_sum"
                           " OR text != replace(hex(zeroblob(check_sum / length(number))), '00', number)").fetchall()
        assert not bad, f"rows {bad[:5]} hold something else"
        """

    /// Clones again and again; an acknowledged clone is one that `sync` has brought down.
    private static let cloneAgain = """
        number=$(($(tail -n 1 "$2" 2>/dev/null || echo 0) + 1))
        while :; do
            rm -rf "$1/clone-$number"
            git clone -q "file://$3" "$1/clone-$number" || exit 0
            sync -f "$1" || exit 0
            echo $number >>"$2"
            number=$((number + 1))
        done
        """

    private static let unpackAgain = """
        number=$(($(tail -n 1 "$2" 2>/dev/null || echo 0) + 1))
        while :; do
            tar -C "$3" -cf - . | tar -C "$1" --transform "s,^[.],./tree-$number," -xf - || exit 0
            sync -f "$1" || exit 0
            echo $number >>"$2"
            number=$((number + 1))
        done
        """

    /// A git repository with a few hundred files, as source for clones and archives.
    static func makeRepository(at folder: String) async throws {
        let script = """
            set -e
            export GIT_CONFIG_NOSYSTEM=1 HOME="$1"
            git init -q "$1" && cd "$1" && git config user.name nobody && git config user.email nobody@localhost
            for folder in $(seq 12); do
                mkdir folder-$folder
                for file in $(seq 25); do
                    seq $((folder * file)) $((folder * file * 30)) >folder-$folder/file-$file
                done
                git add . && git commit -q -m "folder $folder"
            done
            """
        try await mustRun(["bash", "-c", script, "make", folder])
    }

    /// What runs it, for ever, or until the disk goes away.
    ///
    /// - Parameter notes: a file outside of the disk, a number a line.
    func command(mount: String, notes: String, repository: String) -> [String] {
        switch self {
        case .sqliteWAL: ["python3", "-c", Self.insertRows, mount, notes, "WAL"]
        case .sqliteDelete: ["python3", "-c", Self.insertRows, mount, notes, "DELETE"]
        case .gitClone: ["bash", "-c", Self.cloneAgain, "clone", mount, notes, repository]
        case .tar: ["bash", "-c", Self.unpackAgain, "unpack", mount, notes, repository]
        }
    }

    /// Looks at everything up to a number that was acknowledged.
    func check(mount: String, acknowledged: Int, repository: String) async throws {
        switch self {
        case .sqliteWAL, .sqliteDelete: try await mustRun(["python3", "-c", Self.checkRows, mount, "\(acknowledged)"])
        case .gitClone:
            for number in Self.latest(acknowledged) {
                let clone = "\(mount)/clone-\(number)"
                let safe = ["-c", "safe.directory=*", "-C", clone]
                try await mustRun(["git"] + safe + ["fsck", "--full", "--strict"])
                try await mustRun(["diff", "-r", "-x", ".git", repository, clone])
            }
        case .tar:
            for number in Self.latest(acknowledged) {
                try await mustRun(["diff", "-r", repository, "\(mount)/tree-\(number)"])
            }
        }
    }

    /// Old ones do not change any more: a few of the newest, and the first.
    private static func latest(_ acknowledged: Int) -> [Int] {
        acknowledged == 0 ? [] : Array(Set([1] + (max(1, acknowledged - 3)...acknowledged))).sorted()
    }
}
