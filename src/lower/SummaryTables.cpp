#include "SummaryTables.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

std::vector<Summary> summaries_of(const TileProgram &program) {
    std::vector<Summary> all;
    for (const StreamPass &pass : program.passes) {
        for (const Summary &s : pass.mask.summaries) {
            if (std::none_of(all.begin(), all.end(), [&](const Summary &o) { return o.name == s.name; })) {
                all.push_back(s);
            }
        }
    }
    return all;
}

std::vector<Axis> axes_of(const Summary &summary, const TileProgram &program) {
    std::vector<Axis> axes;
    std::copy_if(program.grid.begin(), program.grid.end(), std::back_inserter(axes),
                 [&](const Axis &a) { return expr_uses_var(summary.load, a.name); });
    return axes;
}

Expr stream_tiles(const TileProgram &program) {
    return (program.stream.extent + (program.stream_tile - 1)) / program.stream_tile;
}

Expr table_size(const Summary &summary, const TileProgram &program) {
    Expr size = stream_tiles(program);
    for (const Axis &a : axes_of(summary, program)) {
        size = size * a.extent;
    }
    return size;
}

Expr table_entry(const Summary &summary, const TileProgram &program, const Expr &tile) {
    Expr index = 0;
    const std::vector<Axis> axes = axes_of(summary, program);
    for (auto a = axes.rbegin(); a != axes.rend(); ++a) {
        index = index * a->extent + (Variable::make(Int(32), a->name) - a->min);
    }
    return index * stream_tiles(program) + tile;
}

}  // namespace strobe
