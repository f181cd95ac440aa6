#ifndef STROBE_LOWER_LOWER_H
#define STROBE_LOWER_LOWER_H

/** \file
 * The passes between a lowered tile program and a statement that Halide's code
 * generators take, as one ordered table. Each is timed and named with
 * STROBE_DEBUG=1; STROBE_DEBUG=2 prints the statement after each that changed it. */

#include "Halide.h"

#include <string>
#include <vector>

namespace strobe {

struct LowerPass {
    const char *name;
    Halide::Internal::Stmt (*run)(const Halide::Internal::Stmt &);
};

/** The passes for CPU statements, in order. */
const std::vector<LowerPass> &cpu_passes();

Halide::Internal::Stmt run_lower_passes(const std::vector<LowerPass> &passes, const Halide::Internal::Stmt &s);

}  // namespace strobe

#endif
