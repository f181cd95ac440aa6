#ifndef STROBE_ALGORITHM_MATCH_SELECTION_H
#define STROBE_ALGORITHM_MATCH_SELECTION_H

/** \file
 * Recognises argmax, argmin and sorted lists of the k best, written as a Tuple whose
 * elements are moved by comparisons. Nothing is matched by its shape: an update that only
 * compares and selects is determined by how the new key lies among those kept, and each of
 * these finitely many orders, with all equalities, is tried. */

#include "MatchUpdate.h"

#include <optional>

namespace strobe {

/** The step of element \p element of f's update: the key, or what belongs to it, of one rank.
 * Nothing if the update is not an insertion into a sorted list. Throws UserError if it is, but
 * does not start from an empty list. */
std::optional<UpdateStep> match_selection(const Halide::Internal::Function &f, int element);

}  // namespace strobe

#endif
