#include "Quotients.h"

#include "Code.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** The quotient of the Variable n. */
Expr quotient_of(const Expr &n, const Expr &by, const Expr &reciprocal, bool nonnegative) {
    // -1 - x is what a negative x has all bits of turned over: floor(x / by) = -1 - floor((-1 - x) / by).
    const Expr sign = n >> 31;
    const Expr x = nonnegative ? u32(n) : u32(n ^ sign);
    const Expr product = cast<uint64_t>(x) * cast<uint64_t>(reciprocal);
    const std::string name = unique_name('q');
    const Expr guess = Variable::make(UInt(32), name);
    const Expr found = cast<int32_t>(guess + select(x - guess * u32(by) >= u32(by), u32(1), u32(0)));
    return Let::make(name, u32(product >> 32), nonnegative ? found : found ^ sign);
}

}  // namespace

Expr reciprocal_of(const Expr &by) {
    return UInt(32).max() / u32(by);
}

Expr quotient_by(const Expr &n, const Expr &by, const Expr &reciprocal, bool nonnegative) {
    const std::string name = unique_name('n');
    return Let::make(name, n, quotient_of(Variable::make(Int(32), name), by, reciprocal, nonnegative));
}

Expr remainder_by(const Expr &n, const Expr &by, const Expr &reciprocal, bool nonnegative) {
    const std::string name = unique_name('n');
    const Expr x = Variable::make(Int(32), name);
    return Let::make(name, n, x - quotient_of(x, by, reciprocal, nonnegative) * by);
}

}  // namespace strobe::cuda
