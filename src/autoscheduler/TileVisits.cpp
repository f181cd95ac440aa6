#include "TileVisits.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Value = std::optional<int64_t>;

class Evaluator {
    const std::map<std::string, int64_t> &variables;

    Value variable(const Variable *v) const {
        auto found = variables.find(v->name);
        return found == variables.end() ? std::nullopt : Value(found->second);
    }

    template<typename Op, typename F>
    Value binary(const Expr &e, F f) const {
        const Op *op = e.as<Op>();
        const Value a = (*this)(op->a), b = (*this)(op->b);
        return a && b ? Value(f(*a, *b)) : std::nullopt;
    }

    /** \p decides: the value that decides alone, 0 for && and 1 for ||. */
    Value logical(const Expr &x, const Expr &y, int64_t decides) const {
        const Value a = (*this)(x), b = (*this)(y);
        if ((a && (*a != 0) == (decides != 0)) || (b && (*b != 0) == (decides != 0))) {
            return decides;
        }
        return a && b ? Value(1 - decides) : std::nullopt;
    }

    Value choice(const Expr &condition, const Expr &yes, const Expr &no) const {
        const Value c = (*this)(condition);
        return c ? (*this)(*c ? yes : no) : std::nullopt;
    }

    Value call(const Call *op) const {
        if (op->is_intrinsic(
                {Call::likely, Call::likely_if_innermost, Call::promise_clamped, Call::unsafe_promise_clamped})) {
            return (*this)(op->args[0]);
        }
        if (op->is_intrinsic(Call::if_then_else) && op->args.size() == 3) {
            return choice(op->args[0], op->args[1], op->args[2]);
        }
        return std::nullopt;
    }

public:
    explicit Evaluator(const std::map<std::string, int64_t> &variables) : variables(variables) {
    }

    Value operator()(const Expr &e) const {
        switch (e.node_type()) {
        case IRNodeType::IntImm:
            return e.as<IntImm>()->value;
        case IRNodeType::UIntImm:
            return (int64_t)e.as<UIntImm>()->value;
        case IRNodeType::Variable:
            return variable(e.as<Variable>());
        case IRNodeType::Cast:
            return e.type().is_float() || e.as<Cast>()->value.type().is_float() ? std::nullopt
                                                                                : (*this)(e.as<Cast>()->value);
        case IRNodeType::Add:
            return binary<Add>(e, [](int64_t a, int64_t b) { return a + b; });
        case IRNodeType::Sub:
            return binary<Sub>(e, [](int64_t a, int64_t b) { return a - b; });
        case IRNodeType::Mul:
            return binary<Mul>(e, [](int64_t a, int64_t b) { return a * b; });
        case IRNodeType::Div:
            return binary<Div>(e, [](int64_t a, int64_t b) { return div_imp(a, b); });
        case IRNodeType::Mod:
            return binary<Mod>(e, [](int64_t a, int64_t b) { return mod_imp(a, b); });
        case IRNodeType::Min:
            return binary<Min>(e, [](int64_t a, int64_t b) { return std::min(a, b); });
        case IRNodeType::Max:
            return binary<Max>(e, [](int64_t a, int64_t b) { return std::max(a, b); });
        case IRNodeType::EQ:
            return binary<EQ>(e, [](int64_t a, int64_t b) { return a == b; });
        case IRNodeType::NE:
            return binary<NE>(e, [](int64_t a, int64_t b) { return a != b; });
        case IRNodeType::LT:
            return binary<LT>(e, [](int64_t a, int64_t b) { return a < b; });
        case IRNodeType::LE:
            return binary<LE>(e, [](int64_t a, int64_t b) { return a <= b; });
        case IRNodeType::GT:
            return binary<GT>(e, [](int64_t a, int64_t b) { return a > b; });
        case IRNodeType::GE:
            return binary<GE>(e, [](int64_t a, int64_t b) { return a >= b; });
        case IRNodeType::And:
            return logical(e.as<And>()->a, e.as<And>()->b, 0);
        case IRNodeType::Or:
            return logical(e.as<Or>()->a, e.as<Or>()->b, 1);
        case IRNodeType::Not: {
            const Value a = (*this)(e.as<Not>()->a);
            return a ? Value(*a == 0) : std::nullopt;
        }
        case IRNodeType::Select:
            return choice(e.as<Select>()->condition, e.as<Select>()->true_value, e.as<Select>()->false_value);
        case IRNodeType::Call:
            return call(e.as<Call>());
        default:
            return std::nullopt;
        }
    }
};

/** Everything that a verdict's Exprs may name, but the corners. */
std::map<std::string, int64_t> fixed_variables(const ReductionGraph &graph, const Roles &roles, const Shape &shape) {
    std::map<std::string, int64_t> variables;
    for (const auto &[name, value] : shape.scalars) {
        variables[name] = (int64_t)value;
    }
    for (const std::string &b : roles.batch) {
        variables[b] = 0;
    }
    for (const Axis &a : graph.axes) {
        auto size = shape.sizes.find(a.name);
        if (const Variable *v = a.extent.as<Variable>(); v && size != shape.sizes.end()) {
            variables[v->name] = size->second;
        }
        if (const Variable *v = a.min.as<Variable>()) {
            variables[v->name] = 0;
        }
    }
    return variables;
}

class Counter {
    const MaskVerdict &mask;
    const Roles &roles;
    const int64_t rows, columns;
    const int query_tile, stream_tile;
    const bool skip_dead;
    std::map<std::string, int64_t> variables;

    /** Tiles to evaluate and how many each stands for: all of a short range, else both ends, where masks
     * have their edges, and evenly spaced ones between. */
    static std::vector<std::pair<int64_t, double>> samples_of(int64_t from, int64_t to) {
        constexpr int64_t ends = 4, between = 16;
        std::vector<std::pair<int64_t, double>> samples;
        const int64_t inner = to - from - 2 * ends;
        for (int64_t t = from; t < to && (inner <= between || t < from + ends); t++) {
            samples.push_back({t, 1});
        }
        if (inner > between) {
            for (int64_t n = 0; n < between; n++) {
                samples.push_back({from + ends + inner * n / between, (double)inner / between});
            }
            for (int64_t t = to - ends; t < to; t++) {
                samples.push_back({t, 1});
            }
        }
        return samples;
    }

    Value at(const Expr &e) const {
        return e.defined() ? evaluate(e, variables) : std::nullopt;
    }

public:
    double visited = 0, partial = 0;
    bool unknown = false;

    Counter(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape, int query_tile,
            int stream_tile, bool skip_dead)
        : mask(mask), roles(plan.roles), rows(shape.sizes.at(plan.roles.query)),
          columns(shape.sizes.at(plan.roles.stream)), query_tile(query_tile), stream_tile(stream_tile),
          skip_dead(skip_dead), variables(fixed_variables(graph, plan.roles, shape)) {
    }

    /** Adds what a block of rows visits; gives how many tiles. */
    double visit(int64_t block) {
        variables[roles.query + ".lo"] = block * query_tile;
        variables[roles.query + ".hi"] = std::min(rows, (block + 1) * query_tile) - 1;
        const int64_t tiles = (columns + stream_tile - 1) / stream_tile;
        int64_t from = 0, to = tiles;
        if (skip_dead) {
            const Value begin = at(mask.begin), end = at(mask.end);
            unknown |= (mask.begin.defined() && !begin) || (mask.end.defined() && !end);
            from = std::clamp<int64_t>(begin ? div_imp(*begin, (int64_t)stream_tile) : 0, 0, tiles);
            to = std::clamp<int64_t>(end ? div_imp(*end + stream_tile - 1, (int64_t)stream_tile) : tiles, from, tiles);
        }
        double live = 0;
        for (const auto &[tile, weight] : samples_of(from, to)) {
            variables[roles.stream + ".lo"] = tile * stream_tile;
            variables[roles.stream + ".hi"] = std::min(columns, (tile + 1) * stream_tile) - 1;
            const Value dead = at(mask.dead), full = at(mask.full);
            unknown |= (mask.dead.defined() && !dead) || (mask.full.defined() && !full);
            if (skip_dead && dead && *dead) {
                continue;
            }
            const bool is_full = !mask.guard.defined() || (full && *full);
            const bool tail = (tile + 1) * stream_tile > columns;
            live += weight;
            partial += weight * (!is_full || tail);
        }
        visited += live;
        return live;
    }
};

}  // namespace

std::optional<int64_t> evaluate(const Expr &e, const std::map<std::string, int64_t> &variables) {
    return Evaluator(variables)(e);
}

TileVisits count_visits(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape,
                        int query_tile, int stream_tile, bool skip_dead) {
    Counter counter(graph, plan, mask, shape, query_tile, stream_tile, skip_dead);
    TileVisits v;
    v.blocks_of_rows = (shape.sizes.at(plan.roles.query) + query_tile - 1) / query_tile;
    v.tiles = (shape.sizes.at(plan.roles.stream) + stream_tile - 1) / stream_tile;
    const int64_t count = std::min<int64_t>(24, v.blocks_of_rows);
    for (int64_t n = 0; n < count; n++) {
        const int64_t block = count == 1 ? 0 : (v.blocks_of_rows - 1) * n / (count - 1);
        const double live = counter.visit(block);
        v.first = n == 0 ? live : v.first;
        v.last = live;
    }
    v.mean = counter.visited / std::max<int64_t>(1, count);
    v.partial = counter.visited > 0 ? std::min(1.0, counter.partial / counter.visited) : 0;
    v.data_dependent = counter.unknown;
    return v;
}

}  // namespace strobe
