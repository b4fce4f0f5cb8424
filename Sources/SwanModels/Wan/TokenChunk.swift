/// Consecutive tokens that are worked on together, and the rows of their timesteps: one or more whole groups, or
/// tokens of one group.
package struct TokenChunk: Hashable {
    /// The tokens.
    package let tokens: Range<Int>
    /// The groups that they belong to; they make up equal parts of the tokens.
    package let groups: Range<Int>

    /// Cuts tokens into chunks of nearly equal size, so that products of only one or two shapes come up.
    ///
    /// - Parameters:
    ///   - tokens: at least 1, a multiple of `groups`.
    ///   - groups: equal, consecutive groups that share a timestep.
    ///   - limit: the most tokens of a chunk, at least 1; nil for all in one.
    package static func cut(tokens: Int, groups: Int, limit: Int?) -> [TokenChunk] {
        let limit = limit ?? tokens
        precondition(limit > 0 && tokens > 0 && tokens.isMultiple(of: groups))
        let perGroup = tokens / groups
        if perGroup <= limit {
            return even(groups, limit: limit / perGroup).map { groups in
                TokenChunk(tokens: groups.lowerBound * perGroup ..< groups.upperBound * perGroup, groups: groups)
            }
        }
        return (0 ..< groups).flatMap { group in
            even(perGroup, limit: limit).map { part in
                let first = group * perGroup
                return TokenChunk(
                    tokens: first + part.lowerBound ..< first + part.upperBound, groups: group ..< group + 1)
            }
        }
    }

    /// The fewest ranges of at most `limit` that make up `0 ..< count`, all but the last of one length.
    private static func even(_ count: Int, limit: Int) -> [Range<Int>] {
        let parts = (count + limit - 1) / limit
        let length = (count + parts - 1) / parts
        return stride(from: 0, to: count, by: length).map { $0 ..< min(count, $0 + length) }
    }
}
