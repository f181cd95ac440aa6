#ifndef STROBE_DERIVATION_SPLIT_EXPONENT_H
#define STROBE_DERIVATION_SPLIT_EXPONENT_H

/** \file
 * Rule R2's half of the separation: an exponent is taken apart along its sums. */

#include "Separate.h"

namespace strobe {

/** exp(u) as one term: what depends on earlier results becomes its scale, what
 * depends on the stream its power, and select(c, x, -inf) its guard. Throws Blocked
 * where a part depends on both. */
Term split_exponent(Separator &separator, const Expr &u);

}  // namespace strobe

#endif
