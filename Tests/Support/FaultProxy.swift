/// An HTTP proxy that misbehaves by rule, for as long as the object lives. It speaks no TLS.
package final class FaultProxy: Sendable {
    package let port: UInt16
    private let control: UInt16
    private let process: SupervisedProcess

    /// Starts a proxy in front of an HTTP server on 127.0.0.1.
    ///
    /// - Parameter rules: such as `method=PUT status=503 retry-after=1 times=2`; the first that fits a request counts.
    package init(to target: UInt16, rules: [String] = []) async throws {
        port = FreePort.next()
        control = FreePort.next()
        let tool = try SharedTools.path("servers/httpfault.py")
        let arguments = ["--listen", "127.0.0.1:\(port)", "--to", "127.0.0.1:\(target)"]
        process = try SupervisedProcess(
            ["/usr/bin/env", "python3", tool] + arguments + ["--control", "127.0.0.1:\(control)"]
                + rules.flatMap { ["--rule", $0] },
            scratch: makeScratchFolder("httpfault")
        )
        try await process.waitForPort(control)
        try await process.waitForPort(port)
    }

    package func add(_ rule: String) throws { try FreePort.tell(control, "add \(rule)") }
    package func clear() throws { try FreePort.tell(control, "clear") }
    /// The last 200 requests, a line each: method, path, status, rule, body bytes.
    package func log() throws -> [String] { try FreePort.tell(control, "log").split(separator: "\n").map(String.init) }

    /// How often the present rules have fitted a request.
    package func hits() throws -> Int {
        try FreePort.tell(control, "list").split(separator: "\n")
            .compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }.reduce(0, +)
    }

    package func stop() { process.stop() }
}
