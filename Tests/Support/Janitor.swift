internal import Foundation
internal import Glibc
internal import Synchronization

/// Clears a daemon's folder away, with all that is mounted below it, also when the test process dies in whatever way.
///
/// A shell waits on a socket from us, which the kernel closes when we are gone. It ends only the process whose id is in
/// the folder and whose command line names the folder.
final class Janitor: Sendable {
    private static let script = #"""
        folder=$0
        cat >/dev/null
        runs() { [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$folder/"; }
        pid=$(cat "$folder/vdrived.pid" 2>/dev/null)
        if runs; then
            kill "$pid"
            for i in $(seq 100); do runs || break; sleep 0.1; done
            if runs; then kill -9 "$pid"; sleep 0.5; fi
        fi
        mounts() { awk -v f="$folder/" 'index($5, f) == 1 { print $5 }' /proc/self/mountinfo | tac; }
        mounts | while read -r place; do
            case $place in "$folder"/run/*) ;; *) timeout 10 umount "$place" || umount -l "$place" ;; esac
        done
        for device in /sys/block/loop*; do
            read -r file 2>/dev/null <"$device/loop/backing_file" || continue
            case $file in "$folder"/*) losetup -d "/dev/${device##*/}" ;; esac
        done
        mounts | while read -r place; do umount -l "$place"; done
        rm -rf --one-file-system "$folder"
        """#

    private struct Running: @unchecked Sendable {
        // SAFETY: touched only inside the mutex.
        var process: Process
        var lifeline: FileHandle
    }

    private let running: Mutex<Running?>

    init(folder: String) throws {
        let process = Process()
        // No other child may inherit our end, or the shell would never see it close: closed on exec from the first.
        var ends: [CInt] = [0, 0]
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        precondition(socketpair(AF_UNIX, kind, 0, &ends) == 0, "no socket pair: errno \(errno)")
        let lifeline = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["--default-signal", "setsid", "--wait", "/bin/bash", "-c", Self.script, folder]
        process.standardInput = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        running = Mutex(Running(process: process, lifeline: lifeline))
    }

    deinit { close() }

    /// Lets the shell do its work, and waits for its end. A second call does nothing.
    func finish() async {
        try? await blocking { self.close() }
    }

    private func close() {
        let taken = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let taken else { return }
        try? taken.lifeline.close()
        taken.process.waitUntilExit()
    }
}
