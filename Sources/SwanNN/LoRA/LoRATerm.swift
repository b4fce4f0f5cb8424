import SwanDiagnostics
import SwanTensor

/// What a LoRA file says of one module.
///
/// With the strength s: `W' = W + s * change`; a change is a difference, a replacement less the weight, or
/// `scale * up * down`, LoKr's `scale * kron(left, right)`, LoHa's `scale * (a * b) ⊙ (c * d)`; DoRA stretches each row,
/// or each column, of the changed weight to a length of its own.
///
/// Source: KohakuBlueleaf/LyCORIS `lycoris/modules`; huggingface/peft `src/peft/tuners/lora/dora.py`;
/// Comfy-Org/ComfyUI `comfy/weight_adapter`; Liu et al., "DoRA:
/// Weight-Decomposed Low-Rank Adaptation", 2024; Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning
/// with LoRA", 2023.
struct LoRATerm: Sendable {
    private let parts: [LoRAPart: HostTensor]
    private let scale: LoRAScale

    /// - Returns: nil where a factor has no counterpart.
    init?(_ parts: [LoRAPart: HostTensor], _ scale: LoRAScale) {
        func has(_ part: LoRAPart) -> Bool { parts[part] != nil }
        let kroneckerParts: [LoRAPart] = [
            .kroneckerLeft, .kroneckerLeftUp, .kroneckerLeftDown, .kroneckerRight, .kroneckerRightUp,
            .kroneckerRightDown,
        ]
        let hadamardParts: [LoRAPart] = [
            .hadamardFirstUp, .hadamardFirstDown, .hadamardSecondUp, .hadamardSecondDown,
        ]
        guard has(.down) == has(.up), has(.kroneckerLeftUp) == has(.kroneckerLeftDown),
            has(.kroneckerRightUp) == has(.kroneckerRightDown)
        else { return nil }
        if kroneckerParts.contains(where: has) {
            guard has(.kroneckerLeft) != has(.kroneckerLeftUp), has(.kroneckerRight) != has(.kroneckerRightUp) else {
                return nil
            }
        }
        if hadamardParts.contains(where: has), !hadamardParts.allSatisfy(has) { return nil }
        let kinds = [has(.down), kroneckerParts.contains(where: has), hadamardParts.contains(where: has)]
        guard kinds.filter(\.self).count <= 1 else { return nil }
        // A scale or a length without factors means that they are missing.
        if has(.alpha) || has(.magnitude) || has(.doraScale) || has(.upBias), !kinds.contains(true) { return nil }
        if has(.magnitude), has(.doraScale) { return nil }
        self.parts = parts
        self.scale = scale
    }

    /// The part of a module's tensors that a suffix names, and what changes it.
    enum Target: CaseIterable {
        case weight, bias, modulation

        var suffix: String {
            switch self {
            case .weight: ".weight"
            case .bias: ".bias"
            case .modulation: ".modulation"
            }
        }
    }

    /// Whether a tensor of the module is changed.
    func changes(_ target: Target) -> Bool {
        switch target {
        case .weight:
            parts.keys.contains { ![.biasDifference, .modulationDifference, .upBias, .alpha].contains($0) }
        case .bias: parts[.biasDifference] != nil || parts[.upBias] != nil
        case .modulation: parts[.modulationDifference] != nil
        }
    }

    // MARK: Shapes

    /// What does not fit a module's weight, as found and expected; nil where all does.
    ///
    /// - Parameter shape: the shape of a tensor of the module, nil where it has none of that name.
    func misfit(_ target: Target, _ shape: Shape?) -> (found: String, expected: String)? {
        guard changes(target) else { return nil }
        guard let shape else {
            return ("a change of its \(target.suffix.dropFirst())", "none: the model has no such tensor")
        }
        switch target {
        case .bias:
            for part in [LoRAPart.biasDifference, .upBias] {
                if let found = differing(part, shape) { return found }
            }
            return nil
        case .modulation: return differing(.modulationDifference, shape)
        case .weight: break
        }
        for part in [LoRAPart.difference, .replacement] {
            if let found = differing(part, shape) { return found }
        }
        guard let (rows, columns) = changedShape() else {
            return parts[.down] != nil || parts[.kroneckerLeft] != nil || parts[.kroneckerLeftUp] != nil
                || parts[.hadamardFirstUp] != nil
                ? ("factors whose shapes do not fit each other", "[\(shape[0]), rank] and [rank, \(shape.rowCount)]")
                : nil
        }
        guard shape.rank >= 2 else { return ("a low-rank change", "none: the layer has no matrix") }
        guard rows == shape[0], columns == shape.rowCount else {
            return ("factors of a change [\(rows), \(columns)]", "[\(shape[0]), \(shape.rowCount)]")
        }
        if let alpha = parts[.alpha], alpha.shape.count != 1 { return ("alpha of shape \(alpha.shape)", "one number") }
        if let lengths = parts[.magnitude] ?? parts[.doraScale], lengthAxis(shape) == nil {
            let inputs = parts[.doraScale] == nil ? "" : ", or [1, \(shape[1])]"
            return ("lengths of DoRA of shape \(lengths.shape)", "[\(shape[0]), 1]\(inputs)")
        }
        return nil
    }

    /// The axis of a weight whose entries DoRA gives lengths to: 0 for outputs, 1 for inputs; nil without lengths, or
    /// where they fit neither.
    ///
    /// PEFT's are those of outputs. LyCORIS and OneTrainer have either, in a tensor of as many axes as the weight, so
    /// that a square layer's are told apart by the axis that is not 1.
    private func lengthAxis(_ weight: Shape) -> Int? {
        if let lengths = parts[.magnitude]?.shape { return lengths.count == weight[0] ? 0 : nil }
        guard let lengths = parts[.doraScale]?.shape else { return nil }
        if lengths.count == weight[0], lengths.rank < 2 || lengths[0] == weight[0] { return 0 }
        return lengths.rank >= 2 && lengths.count == weight[1] && lengths[1] == weight[1] ? 1 : nil
    }

    private func differing(_ part: LoRAPart, _ shape: Shape) -> (found: String, expected: String)? {
        guard let found = parts[part]?.shape else { return nil }
        let fits =
            found.count == shape.count
            && (shape.count == 0 || found.rank == 0 || found[0] == shape[0] || found.rank != shape.rank)
        return fits ? nil : ("a difference of shape \(found)", "\(shape)")
    }

    /// Rows and columns of the change that factors make; nil without factors, or where they do not fit each other.
    private func changedShape() -> (rows: Int, columns: Int)? {
        func product(_ up: LoRAPart, _ down: LoRAPart) -> (rows: Int, columns: Int)? {
            guard let a = parts[up]?.shape, let b = parts[down]?.shape, a.rank >= 2, b.rank >= 2, b[0] > 0,
                a.rowCount == b[0]
            else { return nil }
            return (a[0], b.rowCount)
        }
        func matrix(_ whole: LoRAPart, _ up: LoRAPart, _ down: LoRAPart) -> (rows: Int, columns: Int)? {
            guard let shape = parts[whole]?.shape else { return product(up, down) }
            return shape.rank >= 2 ? (shape[0], shape.rowCount) : nil
        }
        if parts[.down] != nil { return product(.up, .down) }
        if parts[.hadamardFirstUp] != nil {
            guard let first = product(.hadamardFirstUp, .hadamardFirstDown),
                let second = product(.hadamardSecondUp, .hadamardSecondDown), first == second
            else { return nil }
            return first
        }
        guard let left = matrix(.kroneckerLeft, .kroneckerLeftUp, .kroneckerLeftDown),
            let right = matrix(.kroneckerRight, .kroneckerRightUp, .kroneckerRightDown)
        else { return nil }
        let (rows, tooManyRows) = left.rows.multipliedReportingOverflow(by: right.rows)
        let (columns, tooManyColumns) = left.columns.multipliedReportingOverflow(by: right.columns)
        return tooManyRows || tooManyColumns ? nil : (rows, columns)
    }

    // MARK: Values

    /// Whether a product of two factors is all that is added to a tensor of the module.
    func isLowRank(_ target: Target) -> Bool {
        let others: [LoRAPart] = [.difference, .replacement, .magnitude, .doraScale]
        return target == .weight && parts[.down] != nil && !others.contains { parts[$0] != nil }
    }

    /// What is added to a tensor of the module, which ``isLowRank(_:)``; nil where something else is.
    func lowRank(_ target: Target, strength: Float) throws(SwanError) -> LowRankChange? {
        isLowRank(target) ? try pair(strength) : nil
    }

    private func pair(_ strength: Float) throws(SwanError) -> LowRankChange? {
        guard let rank = parts[.down]?.shape[0] else { return nil }
        return try change(.up, .down, factor: strength * factor(rank: rank))
    }

    /// Adds the changes of a tensor of the module, whose shapes were checked.
    func add(to values: inout [Float], _ target: Target, _ shape: Shape, strength: Float) throws(SwanError) {
        func add(_ part: LoRAPart) throws(SwanError) {
            guard let difference = try parts[part]?.floats() else { return }
            for i in values.indices { values[i] += strength * difference[i] }
        }
        switch target {
        case .bias:
            try add(.biasDifference)
            // What stands beside the outer factor is scaled as its product is.
            guard let bias = try parts[.upBias]?.floats() else { return }
            let factor = try strength * self.factor(rank: parts[.down]?.shape[0] ?? 1)
            for i in values.indices { values[i] += factor * bias[i] }
        case .modulation: try add(.modulationDifference)
        case .weight:
            if let replacement = try parts[.replacement]?.floats() {
                for i in values.indices { values[i] += strength * (replacement[i] - values[i]) }
            }
            try add(.difference)
            guard let axis = lengthAxis(shape), let lengths = try (parts[.magnitude] ?? parts[.doraScale])?.floats()
            else { return try addFactors(to: &values, strength) }
            var changed = values
            try addFactors(to: &changed, 1)
            Self.stretch(&changed, shape, axis, to: lengths)
            for i in values.indices { values[i] += strength * (changed[i] - values[i]) }
        }
    }

    /// Gives the entries of an axis the lengths that they are to have.
    ///
    /// The norm is that of the changed weight, as trainers have it: LyCORIS, PEFT and OneTrainer. (ComfyUI takes the
    /// unchanged weight's where the axis is that of the outputs.)
    private static func stretch(_ values: inout [Float], _ shape: Shape, _ axis: Int, to lengths: [Float]) {
        let entries = shape[axis]
        let inner = axis == 0 ? shape.rowCount : shape.rowCount / max(shape[1], 1)
        let outer = values.count / max(entries * inner, 1)
        var squares = [Double](repeating: 0, count: entries)
        func each(_ body: (_ entry: Int, _ places: Range<Int>) -> Void) {
            for block in 0 ..< outer {
                for entry in 0 ..< entries {
                    let start = (block * entries + entry) * inner
                    body(entry, start ..< start + inner)
                }
            }
        }
        values.withUnsafeMutableBufferPointer { values in
            each { entry, places in
                for i in places { squares[entry] += Double(values[i]) * Double(values[i]) }
            }
            let factors = zip(lengths, squares).map { $0 / (Float($1.squareRoot()) + .ulpOfOne) }
            each { entry, places in
                for i in places { values[i] *= factors[entry] }
            }
        }
    }

    /// What multiplies a product of factors of some rank.
    private func factor(rank: Int) throws(SwanError) -> Float {
        guard let alpha = try parts[.alpha]?.floats().first ?? scale.alpha else { return 1 }
        let rank = Float(max(rank, 1))
        return alpha / (scale.isRankStabilised ? rank.squareRoot() : rank)
    }

    private func addFactors(to values: inout [Float], _ strength: Float) throws(SwanError) {
        if let change = try pair(strength) {
            return values.withUnsafeMutableBufferPointer { change.add(to: $0) }
        }
        if parts[.hadamardFirstUp] != nil {
            let factor = try strength * factor(rank: parts[.hadamardFirstDown]?.shape[0] ?? 1)
            let first = try product(.hadamardFirstUp, .hadamardFirstDown)
            let second = try product(.hadamardSecondUp, .hadamardSecondDown)
            for i in values.indices { values[i] += factor * first[i] * second[i] }
            return
        }
        guard parts[.kroneckerLeft] != nil || parts[.kroneckerLeftUp] != nil else { return }
        let inner = parts[.kroneckerRightDown]?.shape[0] ?? parts[.kroneckerLeftDown]?.shape[0]
        // Whole factors carry their scale.
        let factor = strength * (try inner.map { (rank) throws(SwanError) in try self.factor(rank: rank) } ?? 1)
        let left = try matrix(.kroneckerLeft, .kroneckerLeftUp, .kroneckerLeftDown)
        let right = try matrix(.kroneckerRight, .kroneckerRightUp, .kroneckerRightDown)
        let leftRows = parts[.kroneckerLeft]?.shape[0] ?? parts[.kroneckerLeftUp]?.shape[0] ?? 1
        let rightRows = parts[.kroneckerRight]?.shape[0] ?? parts[.kroneckerRightUp]?.shape[0] ?? 1
        let (leftColumns, rightColumns) = (left.count / max(leftRows, 1), right.count / max(rightRows, 1))
        var place = 0
        for i in 0 ..< leftRows {
            for k in 0 ..< rightRows {
                for j in 0 ..< leftColumns {
                    let scaled = factor * left[i * leftColumns + j]
                    for l in 0 ..< rightColumns { values[place + l] += scaled * right[k * rightColumns + l] }
                    place += rightColumns
                }
            }
        }
    }

    /// A whole factor, or the product of its own factors.
    private func matrix(_ whole: LoRAPart, _ up: LoRAPart, _ down: LoRAPart) throws(SwanError) -> [Float] {
        guard let values = try parts[whole]?.floats() else { return try product(up, down) }
        return values
    }

    private func product(_ up: LoRAPart, _ down: LoRAPart) throws(SwanError) -> [Float] {
        guard let change = try change(up, down, factor: 1) else {
            throw SwanError(.fault, "A LoRA's factor is missing.")
        }
        var values = [Float](repeating: 0, count: change.up.shape[0] * change.down.shape[1])
        values.withUnsafeMutableBufferPointer { change.add(to: $0) }
        return values
    }

    private func change(_ up: LoRAPart, _ down: LoRAPart, factor: Float) throws(SwanError) -> LowRankChange? {
        guard let up = parts[up], let down = parts[down] else { return nil }
        return try LowRankChange(up: up, down: down, factor: factor)
    }
}
