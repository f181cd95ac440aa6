#include "MaskParts.h"

#include "Dependence.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

void add(MaskPart &part, const MaskPart &condition) {
    part.guard = part.guard.defined() ? part.guard && condition.guard : condition.guard;
    part.full = part.full.defined() ? simplify(part.full && condition.full) : condition.full;
}

}  // namespace

std::vector<MaskPart> mask_parts(const StreamPass &pass) {
    MaskPart positions;
    std::vector<MaskPart> parts;
    for (const MaskPart &condition : pass.mask.parts) {
        if (!is_costly(condition.guard)) {
            add(positions, condition);
        } else if (static_cast<int>(parts.size()) < most_mask_parts - 1) {
            parts.push_back(condition);
        } else {
            add(parts.back(), condition);
        }
    }
    if (positions.guard.defined()) {
        parts.push_back(positions);
    }
    return parts.empty() ? std::vector<MaskPart>{{pass.mask.guard, pass.mask.full}} : parts;
}

}  // namespace strobe::cuda
