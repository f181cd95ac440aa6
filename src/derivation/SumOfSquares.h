#ifndef STROBE_DERIVATION_SUM_OF_SQUARES_H
#define STROBE_DERIVATION_SUM_OF_SQUARES_H

/** \file
 * Rule R3 for squares: the sum over j of weight * (value - rho)^2, where rho is an earlier
 * result, without a walk of its own and without a difference of large numbers (S2).
 *
 * Kept are, for the weights w with the mean c of value under them so far, W = sum w,
 * M1 = sum w (value - c) and M2 = sum w (value - c)^2. Then
 *
 *     sum w (value - rho)^2 = M2 + 2 (c - rho) M1 + (c - rho)^2 W
 *
 * for any rho; where rho is that mean itself, the sum is M2. All parts have the size of the
 * result if value lies as far from rho as its mean does. c is made of what the row itself has
 * seen, so that no element that it does not see costs it digits. */

#include "DerivePass.h"

#include <optional>

namespace strobe {

/** The value of the sum \p r, if its body is such a product. May throw Blocked, before it adds anything. */
std::optional<Terms> sum_of_squares(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                    std::vector<Fact> &facts);

}  // namespace strobe

#endif
