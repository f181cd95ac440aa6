#ifndef STROBE_DRIVER_PROBLEM_H
#define STROBE_DRIVER_PROBLEM_H

/** \file
 * Sizes and data to run an algorithm on, and how two results compare. Works for
 * every algorithm that the derivation understands: its axes have roles, and a
 * problem says how long the axes of each role are. */

#include "Instance.h"

#include <cstdint>
#include <functional>

namespace strobe {

struct Problem {
    int batch = 1, heads = 4, kv_heads = 4, queries = 1024, keys = 1024;
    uint32_t seed = 0;
    std::map<std::string, double> scalars;  // by name; the others take their defaults
    std::map<std::string, int> sizes;       // of further axes by name; the others have 3 elements
};

/** Throws UserError when a size is not positive, or heads are no multiple of kv_heads. */
void check_problem(const Problem &problem);

/** Every input of the problem's sizes, and every scalar. The rows have `queries`, the
 * stream `keys` elements; the batch axes, innermost first, `heads` and `batch`; an
 * input that is indexed by a quotient of the heads has `kv_heads`. Data: tensors are
 * normal; one-dimensional floats the falling powers of two that ALiBi uses;
 * integers are the ids of random consecutive segments, or, where they index
 * another input, shuffled indices of it. Buffers that are bound already stay.
 * Throws UserError for a scalar that the algorithm does not have or that is
 * outside its declared range. */
void bind_inputs(Instance &instance, const Problem &problem);

/** Throws UserError, naming the nearest scalar or setting, if the algorithm has no scalar of this name. */
void check_scalar(const Instance &instance, const std::string &name);

/** Buffers for the outputs, filled with NaN. \p outputs may be widened Funcs of the instance's. */
std::vector<Halide::Buffer<>> make_outputs(Instance &instance, const std::vector<Halide::Func> &outputs,
                                           const Problem &problem);

/** Any element type to and from double, in memory order of a dense buffer. */
void fill(Halide::Buffer<> &buffer, const std::function<double(int64_t)> &value);
double element(const Halide::Buffer<> &buffer, int64_t index);

struct Difference {
    double largest = 0;  // of |a - b|; equal infinities differ by 0, NaN on one side by infinity
    double mean = 0;
    int64_t at = -1;  // index of the largest
};
Difference difference(const Halide::Buffer<> &a, const Halide::Buffer<> &b);

/** Rounding to \p type loses at most this fraction of a value: 2^-8 for bf16. */
double unit_roundoff(const Halide::Type &type);

}  // namespace strobe

#endif
