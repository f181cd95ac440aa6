#ifndef STROBE_STROBE_H
#define STROBE_STROBE_H

/** \file
 * Strobe from C++: make a Halide pipeline compute attention as a schedule says, or as is predicted to be fastest.
 * Link the CMake target `strobe`.
 *
 *     Halide::Pipeline pipeline({out, lse});
 *     strobe::apply(strobe::Schedule().tile(i, 64).stream(j, 128), pipeline, Halide::get_jit_target_from_environment());
 *     pipeline.realize(...);
 */

#include "Halide.h"
#include "strobe/schedule.h"

namespace strobe {

/** Makes \p pipeline compile to our code: realize, compile_to_* and Generators then produce it. What the schedule leaves
 * open is chosen. Returns the whole schedule, which can be printed, saved and given again. Throws std::runtime_error with
 * the Func or directive, the reason, and what would be legal. The algorithm keeps no schedule of its own: build it anew
 * to run it unscheduled. */
Schedule apply(const Schedule &schedule, const Halide::Pipeline &pipeline, const Halide::Target &target);

/** What is derived for these outputs, chosen and computed, and why: the text of `strobe explain`. */
std::string explain(const std::vector<Halide::Func> &outputs, const Halide::Target &target,
                    const Schedule &schedule = Schedule());

}  // namespace strobe

#endif
