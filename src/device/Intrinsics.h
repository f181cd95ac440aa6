#ifndef STROBE_DEVICE_INTRINSICS_H
#define STROBE_DEVICE_INTRINSICS_H

/** \file
 * Device instructions that Halide IR has no word for, as extern calls. Halide's
 * PTX code generator emits them as calls of undeclared functions; ExpandPtx.h
 * replaces each call by the instruction. Compile-time constants are part of the
 * callee's name ("strobe$wgmma_ss$bf16$128$S$0$$lli"; the letters behind $$ are the
 * types), run-time values its arguments.
 *
 * Named registers ("S" 64 of them, say) are the accumulators and fragments of the
 * matrix unit and the state of a row; ExpandPtx declares them at kernel entry.
 */

#include "Halide.h"

#include <string>
#include <vector>

namespace strobe::device {

using Halide::Expr;
using Halide::Internal::Stmt;

/** The call of device function `op` with constants in its name. */
Expr call(Halide::Type type, const std::string &op, const std::vector<std::string> &constants = {},
          const std::vector<Expr> &args = {});
/** The same as a statement. */
Stmt run(const std::string &op, const std::vector<std::string> &constants = {}, const std::vector<Expr> &args = {});

/** Element i of the named registers `name`, holding a float, int32, uint32 or uint64. */
Expr get(Halide::Type type, const std::string &name, int i);
Stmt set(const std::string &name, int i, const Expr &value);

/** 2^x, log2(x), tanh(x), 1/x, 1/sqrt(x): the special-function unit's approximations. */
Expr exp2_approx(const Expr &x);
Expr log2_approx(const Expr &x);
Expr tanh_approx(const Expr &x);
Expr reciprocal_approx(const Expr &x);
Expr rsqrt_approx(const Expr &x);
/** 1/x of a positive x to 2^-12.9, without the special-function unit. */
Expr reciprocal_narrow(const Expr &x);
Expr fma(const Expr &a, const Expr &b, const Expr &c);
/** IEEE maximum and minimum that drop NaN. */
Expr fmax(const Expr &a, const Expr &b);
Expr fmin(const Expr &a, const Expr &b);
/** A sum clamped to 0 .. 1, at no cost where it is one instruction; 0 of a NaN. */
Expr saturated(const Expr &sum);
/** Two floats rounded to bf16 or fp16, `low` in the lower half. */
Expr pack(const std::string &type, const Expr &low, const Expr &high);
/** The value another lane holds: lane ^ mask, or lane `source`. */
Expr shuffle_xor(const Expr &x, int mask);
Expr shuffle_from(const Expr &x, const Expr &source);
/** A bit per lane of the warp. */
Expr ballot(const Expr &predicate);

/** *(type *)(address + index * size), read-only or plain. */
Expr load_global(Halide::Type type, const Expr &address, const Expr &index);
/** *(type *)address where the condition holds, else 0: of 32 bits, or a float of 16 as a float of 32. */
Expr load_global_if(Halide::Type type, const Expr &address, const Expr &condition);

}  // namespace strobe::device

#endif
