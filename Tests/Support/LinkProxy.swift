/// A TCP proxy that is a slow, long or broken link, for as long as the object lives.
package final class LinkProxy: Sendable {
    package let port: UInt16
    private let control: UInt16
    private let process: SupervisedProcess

    /// Starts a proxy in front of a port on 127.0.0.1.
    ///
    /// - Parameter options: such as `--rtt-ms 20 --mbit 1000`.
    package init(to target: UInt16, options: [String] = []) async throws {
        port = FreePort.next()
        control = FreePort.next()
        let tool = try SharedTools.path("servers/linkproxy.py")
        let arguments = ["--listen", "127.0.0.1:\(port)", "--to", "127.0.0.1:\(target)"]
        process = try SupervisedProcess(
            ["/usr/bin/env", "python3", tool] + arguments + ["--control", "127.0.0.1:\(control)"] + options,
            scratch: makeScratchFolder("linkproxy")
        )
        try await process.waitForPort(control)
        try await process.waitForPort(port)
    }

    /// Says something to the proxy, such as `blackhole`, `pass` or `cut 100000`.
    ///
    /// - Returns: its answer.
    @discardableResult
    package func tell(_ command: String) throws -> String {
        try FreePort.tell(control, command)
    }

    package func stop() { process.stop() }
}
