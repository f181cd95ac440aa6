#ifndef STROBE_DERIVATION_BOUND_MASKS_H
#define STROBE_DERIVATION_BOUND_MASKS_H

/** \file
 * Three-valued evaluation of a mask over a tile: dead (no element is live), full
 * (all are), else partial. Sound, not complete: a tile that cannot be decided is
 * partial, which is always correct.
 *
 * The verdict's Exprs are over the tile's corners, the Int(32) Variables
 * "<axis>.lo" and "<axis>.hi" (both inclusive) of the query and stream axes; over
 * batch axes and scalars; and over summaries.
 */

#include "Roles.h"
#include "algorithm/ReductionGraph.h"

namespace strobe {

/** The least and greatest value of an input load, or of arithmetic on bits, over the tile's
 * range of one axis, as the Variables name + ".min" and name + ".max". */
struct Summary {
    std::string name;  // "%doc.j"
    Expr load;         // an integer, free of all tile axes but `axis`
    std::string axis;  // roles.query or roles.stream
};

/** A condition whose conjunction with the other parts is the mask, and where it holds for a whole tile. */
struct MaskPart {
    Expr guard, full;
};

struct MaskVerdict {
    Expr guard;  // Bool over query, stream, batch: the element is live. Undefined: no mask
    Expr dead;   // Bool: no element of the tile is live
    Expr full;   // Bool: every element is live
    std::vector<MaskPart> parts;
    std::vector<Summary> summaries;
    /** Keys that can be live for the block of rows: stream in [begin, end), over
     * "<query>.lo/.hi", batch axes and scalars. Undefined: the axis' own bound. */
    Expr begin, end;
    /** Provably no dead tile inside [begin, end): only `full` needs to be asked. */
    bool contiguous = false;
    std::string text;  // for explain
};

/** \p guard: Bool over query, stream and batch axes; may load inputs. */
MaskVerdict bound_mask(const ReductionGraph &graph, const Roles &roles, const Expr &guard);

}  // namespace strobe

#endif
