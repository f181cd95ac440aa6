#ifndef STROBE_DRIVER_ERROR_RULE_H
#define STROBE_DRIVER_ERROR_RULE_H

/** \file
 * How far a compiled result may be from float64. */

#include "Halide.h"

namespace strobe {

struct Verdict {
    double to_float64 = 0, allowed = 0;  // largest differences
    double mean = 0, allowed_mean = 0;   // mean differences
    int64_t at = -1;                     // element of the largest
    bool ok() const {
        return to_float64 <= allowed && mean <= allowed_mean;
    }
};

/** The rule for one output. Against float64, the largest error is at most twice that of
 * \p unfused, and the mean one 1.5 times, plus a rounding of the result and one of the
 * exponents: those are float32 numbers of about 16, so that their rounding changes a
 * weight by 16 units. Both relative to the largest finite element, or to the mean one.
 * \p unfused: the unscheduled algorithm with its products' operands rounded to the
 * tensors' type (round_operands in Reference.h). */
Verdict judge(const Halide::Buffer<> &got, const Halide::Buffer<> &unfused, const Halide::Buffer<> &exact);

}  // namespace strobe

#endif
