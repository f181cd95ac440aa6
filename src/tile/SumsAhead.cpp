#include "SumsAhead.h"

#include "BuildTiles.h"
#include "derivation/Expressions.h"
#include "schedule/Workload.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Rows of a block, at most: more leave too few blocks, fewer read the other operand too often. */
const int most_rows = 64;
/** Elements of a chunk where all of the stream is summed up: so many chunks run side by side. */
const int whole_chunk = 256;

int divisor_of(int n, int most) {
    int d = std::min(n, most);
    while (n % d != 0) {
        d--;
    }
    return d;
}

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/** \p base, with bars behind it while it is taken. */
std::string fresh(std::string base, const std::vector<std::string> &taken) {
    while (contains(taken, base)) {
        base += "_";
    }
    return base;
}

std::vector<std::string> names_of(const std::vector<Axis> &axes) {
    std::vector<std::string> names;
    for (const Axis &a : axes) {
        names.push_back(a.name);
    }
    return names;
}

class AheadBuilder {
    const TileBuilder &b;
    const SecondSeparation &second;
    const std::map<std::string, int> &sizes;
    const std::string axis, rows;  // what is contracted, and the same as rows
    ReductionGraph graph;
    Plan plan;
    Choices choices;
    Axis chunk;
    int size;

    void make_axes();
    void make_moment(const SeparatedSum &s, size_t k);
    void choose();
    Type type_of_moment(const std::string &name) const;

public:
    AheadBuilder(const TileBuilder &b, const std::map<std::string, int> &sizes)
        : b(b), second(*b.plan.second), sizes(sizes), axis(second.sums[0].axis), rows(fresh(axis + "_rows", names_of(b.graph.axes))), graph(b.graph) {
        size = second.whole ? whole_chunk : b.choices.query_tile;
    }
    std::shared_ptr<const SumsAhead> build();
};

void AheadBuilder::make_axes() {
    const Axis &stream = b.program.stream;
    chunk = {fresh(stream.name + "_chunk", names_of(graph.axes)), 0, simplify((stream.extent + (size - 1)) / size)};
    graph.axes.push_back({rows, b.graph.axis(axis).min, b.size_of(axis)});
    graph.axes.push_back(chunk);
    graph.outputs.clear();
    plan.roles = b.plan.roles;
    plan.roles.query = rows;
    plan.roles.batch.insert(plan.roles.batch.begin(), chunk.name);
    plan.roles.features.clear();
    plan.inner = b.plan.inner;
}

/** The sum of columns * values as a moment of this plan, and as an output. */
void AheadBuilder::make_moment(const SeparatedSum &s, size_t k) {
    const Expr row = Variable::make(Int(32), rows);
    Moment m;
    m.name = "%m" + std::to_string(k);
    m.type = type_of_moment(s.moment);
    m.factor = times(cast(m.type, substitute(axis, row, s.columns)), s.values.defined() ? cast(m.type, s.values) : Expr());
    m.guard = s.guard;
    for (const std::string &a : axes_of(b.graph, s.values.defined() ? s.values : Expr(0))) {
        if (contains(b.plan.roles.features, a)) {
            m.axes.push_back(a);
            if (!contains(plan.roles.features, a)) {
                plan.roles.features.push_back(a);
            }
        }
    }
    Output array{fresh("ahead_" + std::to_string(k), inputs_of(b.graph)), m.type, m.axes, m.ref()};
    array.axes.insert(array.axes.end(), {rows, chunk.name});
    for (const Axis &a : b.program.grid) {
        array.axes.push_back(a.name);
    }
    m.axes = array.axes;
    plan.passes[0].moments.push_back(m);
    plan.outputs.push_back(array);
}

Type AheadBuilder::type_of_moment(const std::string &name) const {
    for (const Moment &m : b.plan.passes[0].moments) {
        if (m.name == name) {
            return m.type;
        }
    }
    strobe_internal_error() << "no moment " << name;
}

void AheadBuilder::choose() {
    choices.vector_lanes = b.choices.vector_lanes;
    choices.general = b.choices.general;
    const int lanes = choices.general ? 16 : std::max(1, choices.vector_lanes);
    const int needed = (std::min(b.size_of(axis), most_rows) + lanes - 1) / lanes * lanes;
    choices.query_tile = choices.general ? std::max(16, needed) : needed;
    // Few keys may be in a sum: what rounds them must round the sums that they are divided by as well.
    for (const Moment &m : plan.passes[0].moments) {
        choices.mma[m.name.substr(1)] = m.type.bits() == 32 ? "fp32" : "own";
    }
    choices.stream_tile = divisor_of(size, second.whole ? 64 : std::min(64, b.choices.query_tile));
}

std::shared_ptr<const SumsAhead> AheadBuilder::build() {
    make_axes();
    plan.passes.resize(1);
    std::vector<Expr> guards;
    for (size_t k = 0; k < second.sums.size(); k++) {
        make_moment(second.sums[k], k);
        guards.push_back(second.sums[k].guard);
    }
    // A guard that all share rules out tiles; others stay with their moments.
    const bool shared = std::all_of(guards.begin(), guards.end(), [&](const Expr &g) { return same(g, guards[0]); });
    if (shared && guards[0].defined()) {
        plan.passes[0].mask = bound_mask(graph, plan.roles, guards[0]);
    }
    choose();
    auto ahead = std::make_shared<SumsAhead>();
    ahead->chunk = chunk;
    ahead->size = size;
    ahead->axis = axis;
    ahead->program = build_tiles(b.program.name + "_ahead", graph, plan, choices, sizes);
    MaskVerdict &mask = ahead->program.passes[0].mask;
    const Expr first = b.program.stream.min + Variable::make(Int(32), chunk.name) * size, last = first + size;
    mask.begin = simplify(mask.begin.defined() ? max(mask.begin, first) : first);
    mask.end = simplify(mask.end.defined() ? min(mask.end, last) : last);
    return ahead;
}

}  // namespace

std::shared_ptr<const SumsAhead> build_sums_ahead(const TileBuilder &builder, const std::map<std::string, int> &sizes) {
    return AheadBuilder(builder, sizes).build();
}

const Output &array_of(const SumsAhead &ahead, const Plan &plan, const Moment &moment) {
    const std::vector<SeparatedSum> &sums = plan.second->sums;
    for (size_t k = 0; k < sums.size(); k++) {
        if (sums[k].moment == moment.name) {
            return ahead.program.outputs[k];
        }
    }
    strobe_internal_error() << moment.name << " has no sum ahead";
}

}  // namespace strobe
