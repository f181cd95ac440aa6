#ifndef STROBE_DERIVATION_DERIVE_SELECTION_H
#define STROBE_DERIVATION_DERIVE_SELECTION_H

/** \file
 * Rule R4 for argmax, argmin and the k best with what belongs to them.
 *
 * The state is the list of the k best keys so far, with their values. Of two states the k best of
 * both lists are the k best of both parts, because what k others precede in its own part, k others
 * precede in the whole; so merging is associative, and with the position as a second key, which
 * makes the order total, commutative. A key f(x, rho) that rises strictly with x orders the
 * elements as x does; its value is f of the x kept. */

#include "DerivePass.h"

namespace strobe {

/** The value of the selection \p r. Throws Blocked, before it adds anything, if the order or the value depends on
 * results of the same pass. */
Terms derive_selection(Draft &draft, const Reduction &r, Separator &separator, int pass, std::vector<Fact> &facts);

}  // namespace strobe

#endif
