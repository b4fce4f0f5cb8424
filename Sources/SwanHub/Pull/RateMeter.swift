/// The rate of the last seconds, from counts at moments.
struct RateMeter {
    private var samples: [(seconds: Double, bytes: Int)] = []
    /// Seconds that are looked back.
    private let window = 10.0

    /// Notes a count.
    ///
    /// - Parameters:
    ///   - bytes: that have arrived since the beginning; what was there before does not count.
    ///   - seconds: since the beginning.
    mutating func add(_ bytes: Int, at seconds: Double) {
        // Bytes that were dropped are none that come in at a negative rate.
        if let last = samples.last, bytes < last.bytes { samples = [] }
        samples.append((seconds, bytes))
        while samples.count > 2, samples[1].seconds <= seconds - window { samples.removeFirst() }
    }

    /// Bytes a second; 0 until there are two counts.
    var rate: Double {
        guard let first = samples.first, let last = samples.last, last.seconds > first.seconds else { return 0 }
        return Double(last.bytes - first.bytes) / (last.seconds - first.seconds)
    }
}
