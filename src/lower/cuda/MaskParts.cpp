#include "MaskParts.h"

#include "Dependence.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

void add(MaskPart &part, const MaskPart &condition) {
    part.guard = part.guard.defined() ? part.guard && condition.guard : condition.guard;
    part.full = part.full.defined() ? simplify(part.full && condition.full) : condition.full;
}

}  // namespace

std::vector<MaskPart> mask_parts(const StreamPass &pass, int row_groups) {
    const size_t most = row_groups > 3 ? 3 : 4;
    std::vector<MaskPart> parts, positions;
    for (const MaskPart &condition : pass.mask.parts) {
        if (!is_costly(condition.guard)) {
            positions.push_back(condition);
        } else if (parts.size() < most - 1) {
            parts.push_back(condition);
        } else {
            add(parts.back(), condition);
        }
    }
    // The last one, the end of the keys, stays apart from the others if it can: few tiles meet it.
    const size_t costly = parts.size(), room = std::min(most - costly, positions.size());
    parts.resize(costly + room);
    for (size_t n = 0; n < positions.size(); n++) {
        const bool last = n + 1 == positions.size();
        add(parts[costly + (last ? room - 1 : std::min(n, std::max<size_t>(room, 2) - 2))], positions[n]);
    }
    return parts.empty() ? std::vector<MaskPart>{{pass.mask.guard, pass.mask.full}} : parts;
}

}  // namespace strobe::cuda
