/// How many connections a `TransferLoop` may hold. Requests beyond it wait their turn, first come first served.
package struct ConnectionLimits: Sendable, Hashable {
    /// Requests under way at the same time, over all hosts; also the number of connections kept alive.
    package var total: Int
    /// Requests under way at the same time to one host and port.
    package var perHost: Int

    /// - Precondition: both at least 1.
    package init(total: Int = 64, perHost: Int = 32) {
        precondition(total >= 1 && perHost >= 1, "limits of \(total) and \(perHost) connections let nothing through")
        self.total = total
        self.perHost = perHost
    }
}
