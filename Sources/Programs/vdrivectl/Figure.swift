import VDriveProtocol

/// Numbers as people read them.
enum Figure {
    /// - Parameter value: requests per second.
    static func perSecond(_ value: Double) -> String { fixed(value, digits: value < 10 ? 1 : 0) }

    static func throughput(_ bytesPerSecond: Double) -> String {
        "\(ByteSize.text(UInt64(max(0, bytesPerSecond))))/s"
    }

    /// The share that the first is of both; nothing where there is neither.
    static func share(_ part: Double, besides rest: Double) -> String {
        part + rest > 0 ? "\(fixed(100 * part / (part + rest), digits: 1)) %" : "-"
    }

    static func latency(_ latency: DiskStats.Latency, _ value: (DiskStats.Latency) -> Double) -> String {
        latency.count > 0 ? duration(value(latency)) : "-"
    }

    static func duration(_ seconds: Double) -> String {
        if seconds < 0.001 { return "\(fixed(seconds * 1e6, digits: seconds < 0.000_01 ? 1 : 0)) us" }
        if seconds < 1 { return "\(fixed(seconds * 1e3, digits: seconds < 0.1 ? 1 : 0)) ms" }
        return "\(fixed(seconds, digits: seconds < 10 ? 1 : 0)) s"
    }

    /// - Parameter digits: behind the point, 0 or 1.
    private static func fixed(_ value: Double, digits: Int) -> String {
        let tenths = Int64((value * (digits == 0 ? 1 : 10)).rounded())
        return digits == 0 ? "\(tenths)" : "\(tenths / 10).\(tenths % 10)"
    }
}
