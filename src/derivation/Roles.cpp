#include "Roles.h"

#include "Expressions.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>
#include <map>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Names = std::set<std::string>;

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string list(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &n : names) {
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

class RoleFinder {
    const ReductionGraph &graph;
    Roles roles;

    /** Axes of an expression and of the loads that multiply it, per factor. */
    struct Operand {
        std::vector<std::string> axes;
        Expr load;  // undefined for a score
        bool factor = true;  // of the product itself
    };

    int chain_length(const std::string &axis) const;
    bool follows_stream(const Reduction &r) const;
    void drop_inner_walks(std::vector<std::string> &candidates) const;
    void find_stream();
    void add_after(const Reduction &r);
    std::vector<std::string> axes_in(const Expr &e) const;
    std::vector<Operand> operands_of(const Reduction &r, bool deep) const;
    void add_leaves(const Expr &e, std::vector<Operand> &result) const;
    bool find_query(const std::vector<std::string> &parallel, Names &scored, bool deep);
    void classify();

public:
    explicit RoleFinder(const ReductionGraph &graph) : graph(graph) {
    }
    Roles find() {
        find_stream();
        classify();
        for (const Axis &a : graph.axes) {
            const bool reduced = std::any_of(graph.reductions.begin(), graph.reductions.end(),
                                             [&](const Reduction &r) { return contains(r.over, a.name); });
            if (reduced && a.name != roles.stream && !contains(roles.features, a.name)) {
                roles.inner.push_back(a.name);
            }
        }
        return roles;
    }
};

/** How many reductions over \p axis build on each other. */
int RoleFinder::chain_length(const std::string &axis) const {
    std::map<std::string, int> length;
    int longest = 0;
    for (const Reduction &r : graph.reductions) {
        int n = 0;
        for (const std::string &name : references(graph, r.body)) {
            n = std::max(n, length[name]);
        }
        length[r.name] = n + (contains(r.over, axis) ? 1 : 0);
        longest = std::max(longest, length[r.name]);
    }
    return longest;
}

/** Its value depends on reductions over the stream. */
bool RoleFinder::follows_stream(const Reduction &r) const {
    const Names names = references(graph, r.body);
    return std::any_of(names.begin(), names.end(), [&](const std::string &name) {
        const Reduction &used = graph.reduction(name);
        return contains(used.over, roles.stream) || follows_stream(used);
    });
}

/** Without axes that are only walked for each element of another one, as a running sum's is. */
void RoleFinder::drop_inner_walks(std::vector<std::string> &candidates) const {
    std::vector<std::string> kept;
    for (const std::string &axis : candidates) {
        const bool outer = std::any_of(graph.reductions.begin(), graph.reductions.end(), [&](const Reduction &r) {
            return contains(r.over, axis) && std::none_of(candidates.begin(), candidates.end(), [&](const auto &other) {
                       return contains(r.axes, other);
                   });
        });
        if (outer) {
            kept.push_back(axis);
        }
    }
    candidates = kept;
}

void RoleFinder::find_stream() {
    if (graph.reductions.empty()) {
        strobe_user_error() << "Output " << (graph.outputs.empty() ? "" : graph.outputs[0].name)
                            << " reduces nothing: it has no stream to walk, and needs none of this. "
                            << "Schedule it as an ordinary Halide Func.";
    }
    // A length that is not fixed, as those of features are; then the longest chain of
    // reductions that build on each other; then the axis along which others are
    // evaluated; then the one walked most often.
    using Score = std::tuple<bool, int, bool, int>;
    Score best{false, -1, false, 0};
    std::vector<std::string> candidates;
    for (const Axis &axis : graph.axes) {
        int walks = 0;
        bool streamed = false;
        for (const Reduction &r : graph.reductions) {
            walks += contains(r.over, axis.name);
            streamed = streamed || contains(r.axes, axis.name);
        }
        if (walks == 0) {
            continue;
        }
        const Score score{!is_const(axis.extent), chain_length(axis.name), streamed, walks};
        if (score > best) {
            best = score;
            candidates.clear();
        }
        if (score == best) {
            candidates.push_back(axis.name);
        }
    }
    if (candidates.size() > 1) {
        drop_inner_walks(candidates);
    }
    if (candidates.size() != 1) {
        std::string names;
        for (const Reduction &r : graph.reductions) {
            names += (names.empty() ? "" : "; ") + r.name + " over " + list(r.over);
        }
        strobe_user_error() << "The outputs' reductions walk several axes and none of them stands out as the one to be "
                            << "streamed: " << names << ". Walk the same RDom (or equal bounds) in all of them.";
    }
    roles.stream = candidates[0];
    for (const Reduction &r : graph.reductions) {
        if (!contains(r.over, roles.stream) && follows_stream(r)) {
            add_after(r);
        }
        if (contains(r.over, roles.stream) && r.over.size() > 1) {
            strobe_user_error() << "Func " << r.name << " reduces " << list(r.over) << " at once; only the stream, "
                                << roles.stream << ", can be walked tile by tile. Reduce the other axes in a Func "
                                << "of their own.";
        }
    }
}

/** r reduces finished results: legal for one axis that only outputs wait for. */
void RoleFinder::add_after(const Reduction &r) {
    for (const Reduction &user : graph.reductions) {
        const bool streamed = contains(user.over, roles.stream) || contains(user.axes, roles.stream);
        if (streamed && references(graph, user.body).count(r.name)) {
            strobe_user_error() << "Func " << user.name << " walks " << roles.stream << " and needs " << r.name
                                << ", which reduces " << list(r.over) << " of finished reductions over "
                                << roles.stream << ". Only outputs may use what is reduced after the stream; compute "
                                << user.name << " in an algorithm of its own, from the stored result.";
        }
    }
    if (r.over.size() > 1 || contains(r.axes, roles.stream)) {
        strobe_user_error() << "Func " << r.name << " reduces " << list(r.over) << " after the stream: its body needs "
                            << "the finished reductions over " << roles.stream
                            << (r.over.size() > 1 ? ". One axis at a time can be reduced there; reduce the others in "
                                                    "a Func of their own."
                                                  : ", so it may not depend on " + roles.stream + " itself.");
    }
    roles.after.push_back(r.name);
}

/** Inputs that meet the stream are operands wherever they stand; all else in e is a score. */
void RoleFinder::add_leaves(const Expr &e, std::vector<Operand> &result) const {
    class Find : public IRGraphVisitor {
        using IRGraphVisitor::visit;
        const RoleFinder &finder;
        std::vector<Operand> &result;
        void visit(const Call *op) override {
            const std::vector<std::string> axes = finder.axes_in(op);
            if (op->call_type == Call::Image && contains(axes, finder.roles.stream)) {
                result.push_back({axes, op, false});
            } else if (op->call_type == Call::Image) {
                score.insert(axes.begin(), axes.end());
            } else {
                IRGraphVisitor::visit(op);
            }
        }
        void visit(const Variable *op) override {
            const std::vector<std::string> axes = finder.axes_in(op);
            score.insert(axes.begin(), axes.end());
        }

    public:
        Names score;
        Find(const RoleFinder &finder, std::vector<Operand> &result) : finder(finder), result(result) {
        }
    } find(*this, result);
    e.accept(&find);
    find.score.insert(roles.stream);
    result.push_back({{find.score.begin(), find.score.end()}, Expr()});
}

/** \p deep: look for inputs inside of what is not a product too. */
std::vector<RoleFinder::Operand> RoleFinder::operands_of(const Reduction &r, bool deep) const {
    std::vector<Operand> result;
    for (const Expr &factor : product_factors(r.body)) {
        const Call *call = strip_casts(factor).as<Call>();
        const bool load = call && call->call_type == Call::Image;
        if (deep && !load && contains(axes_in(factor), roles.stream)) {
            add_leaves(factor, result);
        } else {
            result.push_back({axes_in(factor), load ? Expr(call) : Expr()});
        }
    }
    return result;
}

/** Axes of \p e, not counting those of results: they follow from their own bodies. */
std::vector<std::string> RoleFinder::axes_in(const Expr &e) const {
    Expr without = e;
    for (const std::string &name : references(graph, e)) {
        const Reduction &r = graph.reduction(name);
        if (contains(r.over, roles.stream)) {
            without = substitute("%" + name, make_zero(r.type), without);
        }
    }
    return axes_of(graph, without);
}

/** Among the axes of scores, the one that fewest operands of the stream share: factors count first, then what a score
 * is computed from, such as a bias. An operand that several reductions read is one operand. */
bool RoleFinder::find_query(const std::vector<std::string> &parallel, Names &scored, bool deep) {
    scored.clear();
    using Meets = std::pair<int, int>;
    std::map<std::string, Meets> meets;  // of an axis: operands that it shares with the stream; factors, and all
    Meets operands{0, 0};
    std::vector<Operand> counted;
    const auto is_new = [&](const Operand &o) {
        return std::none_of(counted.begin(), counted.end(),
                            [&](const Operand &c) { return c.factor == o.factor && equal(c.load, o.load); });
    };
    for (const Reduction &r : graph.reductions) {
        const bool streamed = contains(r.over, roles.stream);
        if (!streamed && !contains(r.axes, roles.stream)) {
            continue;
        }
        for (const Operand &o : operands_of(r, deep)) {
            if (!contains(o.axes, roles.stream)) {
                continue;
            }
            if (o.load.defined() && is_new(o)) {
                counted.push_back(o);
                const auto count = [&](Meets &m) {
                    m.first += o.factor;
                    m.second++;
                };
                count(operands);
                for (const std::string &a : o.axes) {
                    count(meets[a]);
                }
            }
            if (!o.load.defined() || !streamed) {
                scored.insert(o.axes.begin(), o.axes.end());
            }
        }
    }
    Meets least = operands;
    for (const std::string &a : parallel) {
        if (scored.count(a) && meets[a] < least) {
            least = meets[a];
            roles.query = a;
        }
    }
    return !roles.query.empty();
}

/** Query, batch and feature axes, from the factors of the streamed bodies: loads
 * that meet the stream are operands, everything else is a score. */
void RoleFinder::classify() {
    std::vector<std::string> parallel;
    const auto add = [&](const std::vector<std::string> &axes) {
        for (const std::string &a : axes) {
            if (!contains(parallel, a)) {
                parallel.push_back(a);
            }
        }
    };
    for (const Output &o : graph.outputs) {
        add(o.axes);
    }
    for (const std::string &name : roles.after) {
        add(graph.reduction(name).over);
    }
    Names scored;
    find_query(parallel, scored, true) || find_query(parallel, scored, false);
    if (roles.query.empty()) {
        strobe_user_error() << "Output " << graph.outputs[0].name << ": none of its dimensions (" << list(parallel)
                            << ") is a row: each one indexes every operand that is walked along " << roles.stream
                            << ", or no score. A row dimension is one that the scores depend on and the streamed "
                            << "inputs do not; give a single query an extent of 1.";
    }
    for (const std::string &a : parallel) {
        if (a != roles.query) {
            (scored.count(a) ? roles.batch : roles.features).push_back(a);
        }
    }
    for (const Output &o : graph.outputs) {
        std::vector<std::string> grid = roles.batch;
        grid.push_back(roles.query);
        for (const std::string &a : grid) {
            if (!contains(o.axes, a)) {
                strobe_user_error() << "Output " << o.name << "(" << list(o.axes) << ") has no dimension for " << a
                                    << ", which indexes the rows of the other outputs' scores (" << list(grid)
                                    << "). Outputs of one algorithm share rows through the reductions that they "
                                    << "call; compute this one in an algorithm of its own.";
            }
        }
    }
}

}  // namespace

Roles find_roles(const ReductionGraph &graph) {
    Roles roles = RoleFinder(graph).find();
    strobe_debug(2) << "stream " << roles.stream << ", query " << roles.query << ", batch " << list(roles.batch)
                    << ", features " << list(roles.features) << ", inner " << list(roles.inner) << "\n";
    return roles;
}

}  // namespace strobe
