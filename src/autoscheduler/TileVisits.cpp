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

/** The keys of a block, where a condition over data uses the stream as the number of a block alone; else 1. */
class FindBlocks : public IRVisitor {
    using IRVisitor::visit;
    const std::string &stream;
    bool whole = false;  // some load's condition uses the stream itself

    template<typename Op>
    void compare(const Op *op) {
        class Loads : public IRGraphVisitor {
            using IRGraphVisitor::visit;
            void visit(const Call *call) override {
                found = found || call->call_type == Call::Image;
                IRGraphVisitor::visit(call);
            }

        public:
            bool found = false;
        } loads;
        op->a.accept(&loads);
        op->b.accept(&loads);
        if (loads.found) {
            inside = true;
            IRVisitor::visit(op);
            inside = false;
        }
    }
    void visit(const EQ *op) override {
        compare(op);
    }
    void visit(const NE *op) override {
        compare(op);
    }
    void visit(const Div *op) override {
        const Variable *v = op->a.as<Variable>();
        const auto by = as_const_int(op->b);
        if (inside && v && v->name == stream && by && *by > 1) {
            keys = keys > 1 ? std::min(keys, *by) : *by;
        } else {
            IRVisitor::visit(op);
        }
    }
    void visit(const Variable *op) override {
        whole = whole || (inside && op->name == stream);
    }
    bool inside = false;
    int64_t keys = 1;

public:
    explicit FindBlocks(const std::string &stream) : stream(stream) {
    }
    int64_t in(const Expr &guard) {
        if (guard.defined()) {
            guard.accept(this);
        }
        return whole ? 1 : keys;
    }
};

class Counter {
    const MaskVerdict &mask;
    const Roles &roles;
    const int64_t rows, columns;
    const int stream_tile;
    const bool skip_dead;
    const int64_t block;  // keys that data choose together
    std::map<std::string, int64_t> variables;

    /** Tiles to evaluate and how many each stands for: all of a short range, else both ends, where masks
     * have their edges, and evenly spaced ones between. */
    static std::vector<std::pair<int64_t, double>> samples_of(int64_t from, int64_t to) {
        constexpr int64_t ends = 4, between = 8;
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

    /** What rows see under a mask over data: a run of keys, at any position, its two edges in partial tiles. */
    void assume_run(int64_t from, int64_t to, int64_t count, double &live, double &partial) const {
        const double seen = (double)columns / assumed_documents;
        if (block > 1) {
            live = seen / (double)block * std::max(1.0, (double)block / stream_tile);
            partial = block < stream_tile ? live : 1;
        } else {
            live = (seen + (double)count) / stream_tile + 1;
            partial = 2;
        }
        live = std::min((double)(to - from), live);
        partial = std::min(live, partial);
    }

public:
    bool unknown = false;

    Counter(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape, int stream_tile,
            bool skip_dead)
        : mask(mask), roles(plan.roles), rows(shape.sizes.at(plan.roles.query)),
          columns(shape.sizes.at(plan.roles.stream)), stream_tile(stream_tile), skip_dead(skip_dead),
          block(FindBlocks(plan.roles.stream).in(mask.guard)),
          variables(fixed_variables(graph, plan.roles, shape)) {
    }

    struct Visited {
        int64_t from = 0, to = 0;  // the solved range, in tiles
        double live = 0, partial = 0;
    };

    /** What \p count rows from \p row on visit; fewer at the end of the axis. */
    Visited visit(int64_t row, int64_t count) {
        variables[roles.query + ".lo"] = row;
        variables[roles.query + ".hi"] = std::min(rows, row + count) - 1;
        const int64_t tiles = (columns + stream_tile - 1) / stream_tile;
        Visited v;
        v.to = tiles;
        if (skip_dead) {
            const Value begin = at(mask.begin), end = at(mask.end);
            unknown |= (mask.begin.defined() && !begin) || (mask.end.defined() && !end);
            v.from = std::clamp<int64_t>(begin ? div_imp(*begin, (int64_t)stream_tile) : 0, 0, tiles);
            v.to =
                std::clamp<int64_t>(end ? div_imp(*end + stream_tile - 1, (int64_t)stream_tile) : tiles, v.from, tiles);
        }
        bool dead_unknown = false;
        for (const auto &[tile, weight] : samples_of(v.from, v.to)) {
            variables[roles.stream + ".lo"] = tile * stream_tile;
            variables[roles.stream + ".hi"] = std::min(columns, (tile + 1) * stream_tile) - 1;
            const Value dead = at(mask.dead), full = at(mask.full);
            dead_unknown |= mask.dead.defined() && !dead;
            unknown |= dead_unknown || (mask.full.defined() && !full);
            if (skip_dead && dead && *dead) {
                continue;
            }
            const bool is_full = !mask.guard.defined() || (full && *full);
            const bool tail = (tile + 1) * stream_tile > columns;
            v.live += weight;
            v.partial += weight * (!is_full || tail);
        }
        if (skip_dead && dead_unknown) {
            assume_run(v.from, v.to, count, v.live, v.partial);
        }
        return v;
    }
};

/** Sums over sampled blocks. */
class Visits {
    Counter &counter;
    const int query_tile, group_rows;
    const int64_t rows;
    const bool judged;
    double groups = 0, live = 0, partial = 0, block_live = 0;
    int blocks = 0;
    double most = 0;  // of any group

    /** Adds to together[k] the tiles that exactly k of the ranges hold; gives how many any of them holds. */
    static int64_t add_together(const std::vector<Counter::Visited> &ranges, std::vector<double> &together) {
        std::map<int64_t, int> steps;
        for (const Counter::Visited &r : ranges) {
            steps[r.from]++;
            steps[r.to]--;
        }
        int64_t any = 0, before = 0;
        int inside = 0;
        for (const auto &[tile, change] : steps) {
            together[inside] += (double)(tile - before);
            any += inside > 0 ? tile - before : 0;
            inside += change;
            before = tile;
        }
        return any;
    }

    /** The same for \p count groups that visit \p each tiles, \p any together: some tiles are all of theirs,
     * the others of one. */
    static void add_spread(double each, double any, int64_t count, std::vector<double> &together) {
        const double shared = count < 2 ? any : std::max(0.0, ((double)count * each - any) / (double)(count - 1));
        together[count] += shared;
        together[1] += count < 2 ? 0 : any - shared;
    }

public:
    TileVisits result;

    Visits(Counter &counter, int query_tile, int group_rows, int64_t rows, bool judged)
        : counter(counter), query_tile(query_tile), group_rows(group_rows), rows(rows), judged(judged) {
        result.together.resize(query_tile / group_rows + 1);
    }

    /** Gives the mean of the block's groups. */
    double add(int64_t block) {
        const int64_t row = block * query_tile;
        const int64_t present = (std::min(rows - row, (int64_t)query_tile) + group_rows - 1) / group_rows;
        double sum = 0, fewest = 1e18;
        std::vector<Counter::Visited> ranges;
        for (int64_t g = 0; g < present; g++) {
            ranges.push_back(counter.visit(row + g * group_rows, group_rows));
            const double visited = ranges.back().live;
            sum += visited;
            partial += ranges.back().partial;
            fewest = std::min(fewest, visited);
            most = std::max(most, visited);
        }
        // Of dead tiles inside a range it is not known which they are, only how many.
        const double any = judged ? std::max(counter.visit(row, query_tile).live, sum / (double)present)
                                  : (double)add_together(ranges, result.together);
        if (judged) {
            add_spread(sum / (double)present, any, present, result.together);
        }
        block_live += any;
        result.skew = std::max(result.skew, (int)std::lround(any - fewest));
        live += sum;
        groups += (double)present;
        blocks++;
        return sum / (double)std::max<int64_t>(1, present);
    }

    /** What the group that visits most of this block's tiles visits. */
    double longest(int64_t block) {
        most = 0;
        add(block);
        return most;
    }

    void finish() {
        result.mean = live / std::max(1.0, groups);
        result.groups = groups / std::max(1, blocks);
        result.of_block = block_live / std::max(1, blocks);
        result.partial = live > 0 ? std::min(1.0, partial / live) : 0;
        for (double &tiles : result.together) {
            tiles /= std::max(1, blocks);
        }
        result.together[0] = 0;
    }
};

}  // namespace

std::optional<int64_t> evaluate(const Expr &e, const std::map<std::string, int64_t> &variables) {
    return Evaluator(variables)(e);
}

TileVisits count_visits(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape,
                        int query_tile, int group_rows, int stream_tile, bool skip_dead) {
    const int64_t rows = shape.sizes.at(plan.roles.query);
    const int64_t blocks = (rows + query_tile - 1) / query_tile;
    const bool judged = mask.dead.defined() && !is_const_zero(mask.dead) && !mask.contiguous;
    Counter counter(graph, plan, mask, shape, stream_tile, skip_dead);
    Visits visits(counter, query_tile, group_rows, rows, judged && skip_dead);
    // All blocks where they are few, else the middles of equal stretches.
    const int64_t count = std::min<int64_t>(32, blocks);
    for (int64_t n = 0; n < count; n++) {
        visits.add((2 * n + 1) * blocks / (2 * count));
    }
    visits.finish();
    TileVisits v = visits.result;
    v.group_rows = group_rows;
    v.blocks_of_rows = blocks;
    v.groups = (double)((rows + group_rows - 1) / group_rows) / (double)std::max<int64_t>(1, blocks);
    v.tiles = (shape.sizes.at(plan.roles.stream) + stream_tile - 1) / stream_tile;
    v.first = visits.add(0);
    v.last = visits.add(std::max<int64_t>(0, blocks - 1));
    v.longest = std::max(visits.longest(0), visits.longest(std::max<int64_t>(0, blocks - 1)));
    v.judged = judged && skip_dead;
    v.data_dependent = counter.unknown;
    return v;
}

}  // namespace strobe
