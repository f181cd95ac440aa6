#include "BoundMasks.h"

#include "Expressions.h"

namespace strobe {

MaskVerdict bound_mask(const ReductionGraph &, const Roles &, const Expr &guard) {
    MaskVerdict verdict;
    verdict.guard = guard;
    verdict.dead = Halide::Internal::const_false();
    verdict.full = Halide::Internal::const_false();
    verdict.text = text_of(guard) + ": evaluated for every element";
    return verdict;
}

}  // namespace strobe
