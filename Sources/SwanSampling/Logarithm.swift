import Glibc

/// The natural logarithm, minus infinity at 0.
func logarithm(_ x: Double) -> Double { log(x) }

/// `exp(x) - 1`, exact for small x.
func exponentialMinusOne(_ x: Double) -> Double { expm1(x) }
