#ifndef STROBE_DERIVATION_SIGN_TEST_H
#define STROBE_DERIVATION_SIGN_TEST_H

/** \file
 * Comparisons, and what they say of values whose sign is known. */

#include "Terms.h"

namespace strobe {

enum class Comparison { Greater, GreaterEqual, Equal, NotEqual };

struct Compared {
    Comparison kind;
    Expr a, b;
};

/** c as a comparison; < and <= turned round. */
std::optional<Compared> as_comparison(const Expr &c);

/** c compared with 0; of something that cannot be negative, said as c > 0. */
Expr sign_test(Comparison kind, const Expr &c, const Nonnegative &known);

}  // namespace strobe

#endif
