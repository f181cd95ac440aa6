#ifndef STROBE_DERIVATION_PRODUCT_OF_TERMS_H
#define STROBE_DERIVATION_PRODUCT_OF_TERMS_H

/** \file
 * Rule R5: the product over j of a(rho) e^{s(rho)} [g] b(j) e^{E(j)} is
 *
 *     a^n e^{s n + sum of E} * product of [g] b,     n: how many elements count
 *
 * n is the extent where all do, else a moment. The sum of E and n log |a| stay exponents, so
 * that a product of many probabilities does not underflow before it is used. */

#include "DerivePass.h"

#include <optional>

namespace strobe {

/** The value of the product \p r, if its body is one term. May throw Blocked, before it adds anything. */
std::optional<Terms> product_of_terms(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                      std::vector<Fact> &facts);

}  // namespace strobe

#endif
