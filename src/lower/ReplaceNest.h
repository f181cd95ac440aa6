#ifndef STROBE_LOWER_REPLACE_NEST_H
#define STROBE_LOWER_REPLACE_NEST_H

/** \file
 * How a Halide Pipeline gets our code: a custom lowering pass puts a given
 * statement in the place of the loop nest that Halide produced, and keeps all that
 * Halide generated around it: the checks of the caller's buffers, the answer to
 * bounds queries, the checks of scalar parameters. It runs after bounds were
 * injected and before parallel loops become tasks. */

#include "Halide.h"

namespace strobe {

/** \p s with its outermost produced loop nest replaced by \p nest. Throws
 * InternalError when there is none. */
Halide::Internal::Stmt replace_nest(const Halide::Internal::Stmt &s, const Halide::Internal::Stmt &nest);

/** Makes \p pipeline compile to \p nest wherever it is compiled from now on. The
 * output buffers' names in \p nest are those of the pipeline's outputs. Its Funcs
 * must be scheduled so that Halide can lower them (all reductions at root will do).
 * Replaces the effect of an earlier call. */
void install_nest(Halide::Pipeline pipeline, const Halide::Internal::Stmt &nest);

}  // namespace strobe

#endif
