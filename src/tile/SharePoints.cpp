#include "SharePoints.h"

#include "SplitProduct.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool reads(const TileOp &op, const std::string &name) {
    return op.a == name || op.b == name || (op.expr.defined() && expr_uses_var(op.expr, name));
}

template<typename Action>
void each_op(const TileProgram &program, Action action) {
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.merge, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                action(op);
            }
        }
    }
}

/** All values that ops compute from those in \p found, where \p follows says so, and the other parts' of states. */
template<typename Follows>
void close(const TileProgram &program, std::set<std::string> &found, Follows follows) {
    size_t known = 0;
    do {
        known = found.size();
        each_op(program, [&](const TileOp &op) {
            if (op.kind != TileOp::Kind::Store && !found.count(op.dst) && follows(op)) {
                found.insert(op.dst);
            }
        });
        for (const StreamPass &pass : program.passes) {
            for (const std::string &state : pass.state) {
                if (found.count(state) || found.count(other_part(state))) {
                    found.insert({state, other_part(state)});
                }
            }
        }
    } while (found.size() != known);
}

bool reads_any(const TileOp &op, const std::set<std::string> &values) {
    return std::any_of(values.begin(), values.end(), [&](const std::string &v) { return reads(op, v); });
}

/** Which tile axes an Expr over loaded and computed tiles has. */
std::set<std::string> axes_in(const TileProgram &program, const Expr &e) {
    std::set<std::string> axes;
    for (const std::string &a : {program.query.name, program.stream.name}) {
        if (expr_uses_var(e, a)) {
            axes.insert(a);
        }
    }
    for (const Axis &a : program.columns) {
        if (expr_uses_var(e, a.name)) {
            axes.insert(a.name);
        }
    }
    for (const TileValue &v : program.values) {
        if (expr_uses_var(e, v.name)) {
            for (const TileDim &d : v.dims) {
                axes.insert(d.axis);
            }
        }
    }
    return axes;
}

bool is_end_of_stream(const TileProgram &program, const Expr &guard) {
    const LT *less = guard.as<LT>();
    const Variable *at = less ? less->a.as<Variable>() : nullptr;
    return at && at->name == program.stream.name &&
           is_const_zero(simplify(less->b - (program.stream.min + program.stream.extent)));
}

void conditions_in(const Expr &e, std::vector<Expr> &conditions) {
    if (const And *both = e.as<And>()) {
        conditions_in(both->a, conditions);
        conditions_in(both->b, conditions);
    } else {
        conditions.push_back(e);
    }
}

/** Where \p all holds, so does \p some: it is made of the same conditions. */
bool all_among(const Expr &some, const Expr &all) {
    std::vector<Expr> few, many;
    conditions_in(some, few);
    conditions_in(all, many);
    return std::all_of(few.begin(), few.end(), [&](const Expr &f) {
        return std::any_of(many.begin(), many.end(), [&](const Expr &m) { return graph_equal(f, m); });
    });
}

/** One sum over the stream that becomes products of matrices. */
struct RowSum {
    const TileOp *sum = nullptr, *added = nullptr;  // d = sum(...); m = kept + d
    Expr kept;
    const Call *element = nullptr;  // x[f, j, i]
    Expr weight;
    bool masked = false;  // x, where its tile is partial
};

class Sharing {
    const std::string axis;
    TileProgram program;

    TileValue &declare(const std::string &name, Type type, const std::vector<std::string> &axes, Place place) {
        TileValue v;
        v.name = name;
        for (int n = 1; program.has_value(v.name); n++) {
            v.name = name + "." + std::to_string(n);
        }
        v.type = type;
        v.place = place;
        for (const std::string &a : axes) {
            v.dims.push_back({a, a == program.query.name    ? program.query_tile
                                 : a == program.stream.name ? program.stream_tile
                                                            : program.column_sizes.at(a)});
        }
        program.values.push_back(v);
        return program.values.back();
    }

    /** Only elementwise code and stores of (row, feature) read it, and the walk's own update. */
    bool can_lie_across(const std::string &value) const {
        std::set<std::string> found = {value};
        close(program, found, [&](const TileOp &op) { return reads_any(op, found); });
        bool fits = true;
        each_op(program, [&](const TileOp &op) {
            if (op.kind == TileOp::Kind::Store) {
                fits &= !reads_any(op, found) || op.out_axes.size() == program.grid.size() + 2;
            } else if (found.count(op.dst)) {
                const bool fill = op.kind == TileOp::Kind::Fill, map = op.kind == TileOp::Kind::Map;
                fits &= (fill || map) && program.value(op.dst).dims.size() == 2 &&
                        program.value(op.dst).dims[0].axis == program.query.name &&
                        program.value(op.dst).type == Float(32);
            }
        });
        return fits;
    }
    RowSum row_sum(const StreamPass &pass, const TileOp &sum) const;
    void stage_inputs(std::vector<TileOp> &loads, StreamPass &pass);
    void convert(StreamPass &pass);

public:
    Sharing(const TileProgram &program, const std::string &axis) : axis(axis), program(program) {
    }
    bool converts_any() const {
        return std::any_of(program.passes.begin(), program.passes.end(), [&](const StreamPass &pass) {
            return std::any_of(pass.step.begin(), pass.step.end(),
                               [&](const TileOp &op) { return row_sum(pass, op).element != nullptr; });
        });
    }
    TileProgram make(int points) {
        program.points[axis] = points;
        for (StreamPass &pass : program.passes) {
            convert(pass);
        }
        return program;
    }
};

/** What \p sum is made of, with an element if it can be converted. */
RowSum Sharing::row_sum(const StreamPass &pass, const TileOp &sum) const {
    RowSum found;
    if (sum.kind != TileOp::Kind::Reduce || sum.op != ReduceOp::Sum || sum.axis != program.stream.name ||
        sum.when != TileOp::When::Always || program.value(sum.dst).dims.size() != 2 ||
        program.value(sum.dst).type != Float(32)) {
        return found;
    }
    const std::string &feature = program.value(sum.dst).dims[1].axis;
    Expr product = sum.expr;
    while (const Select *chosen = product.as<Select>()) {
        if (!is_const_zero(chosen->false_value) || !pass.mask.guard.defined() ||
            !all_among(chosen->condition, pass.mask.guard)) {
            return found;
        }
        found.masked |= !is_end_of_stream(program, pass.mask.guard);
        product = chosen->true_value;
    }
    const SplitProduct split = split_product(product, feature, [&](const Expr &e) { return axes_in(program, e); });
    const Call *element = split.with.size() == 1 ? plain_load(split.with[0]) : nullptr;
    if (!element || split.without.empty() || expr_uses_var(element, axis) ||
        axes_in(program, element) != std::set<std::string>{program.query.name, program.stream.name, feature}) {
        return found;
    }
    int uses = 0;
    each_op(program, [&](const TileOp &op) { uses += reads(op, sum.dst); });
    for (const TileOp &op : pass.step) {
        const Add *add = op.kind == TileOp::Kind::Map && op.when == TileOp::When::Always ? op.expr.as<Add>() : nullptr;
        const Variable *part = add ? add->b.as<Variable>() : nullptr;
        if (uses == 1 && part && part->name == sum.dst && !expr_uses_var(add->a, sum.dst) && can_lie_across(op.dst)) {
            found.added = &op;
            found.kept = add->a;
            found.weight = product_of(split.without);
            found.sum = &sum;
            found.element = element;
        }
    }
    return found;
}

/** What elementwise code reads of inputs for each row and streamed element becomes tiles, which
 * are under way while the tile before is computed. */
void Sharing::stage_inputs(std::vector<TileOp> &loads, StreamPass &pass) {
    const std::string &i = program.query.name, &j = program.stream.name;
    class Stage : public IRMutator {
        using IRMutator::visit;
        Expr visit(const Call *op) override {
            const bool plain = op->call_type == Call::Image &&
                               std::all_of(op->args.begin(), op->args.end(), [&](const Expr &a) {
                                   return a.as<Variable>() || !(expr_uses_var(a, i) || expr_uses_var(a, j));
                               });
            if (!plain || !expr_uses_var(op, i) || !expr_uses_var(op, j)) {
                return IRMutator::visit(op);
            }
            const std::string dst = tile_of(op);
            return dst.empty() ? op : Variable::make(op->type, dst);
        }

    public:
        const std::string i, j;
        const std::function<std::string(const Call *)> tile_of;
        Stage(const std::string &i, const std::string &j, const std::function<std::string(const Call *)> &f)
            : i(i), j(j), tile_of(f) {
        }
    };
    Stage stage(i, j, [&](const Call *call) -> std::string {
        for (const TileOp &load : loads) {
            if (graph_equal(load.expr, Expr(call))) {
                return load.dst;
            }
        }
        if (axes_in(program, call) != std::set<std::string>{i, j}) {
            return "";
        }
        TileOp load;
        load.kind = TileOp::Kind::Load;
        load.expr = call;
        load.dst = declare("%" + call->name, call->type, {i, j}, Place::Shared).name;
        loads.push_back(load);
        return load.dst;
    });
    for (TileOp &op : pass.step) {
        if (op.kind == TileOp::Kind::Map && op.when == TileOp::When::Always) {
            op.expr = stage.mutate(op.expr);
        }
    }
}

void Sharing::convert(StreamPass &pass) {
    std::vector<TileOp> loads, products, ops;
    std::map<std::string, RowSum> sums;  // by what they are added to
    std::set<std::string> gone;
    const StreamPass before = pass;
    for (const TileOp &op : before.step) {
        const RowSum sum = row_sum(before, op);
        if (sum.element) {
            sums[sum.added->dst] = sum;
            gone.insert(op.dst);
        }
    }
    for (const TileOp &op : before.step) {
        const bool of_sum = gone.count(op.dst) > 0;
        const auto found = sums.find(op.dst);
        if (of_sum) {
            // The weights are those that the sum saw, not what is made of them later.
            for (const auto &[to, sum] : sums) {
                if (sum.sum->dst != op.dst) {
                    continue;
                }
                TileOp product;
                product.kind = TileOp::Kind::Contract;
                product.dst = to;
                product.axis = program.stream.name;
                product.accumulate = true;
                product.operand_type =
                    is_narrow_float(sum.element->type) ? sum.element->type : program.value(to).type;
                const Variable *weights = sum.weight.as<Variable>();
                if (weights && program.has_value(weights->name) && program.value(weights->name).dims.size() == 2) {
                    product.a = weights->name;
                } else {
                    TileOp map;
                    map.dst = product.a =
                        declare(to + ".weights", sum.weight.type(), {program.query.name, program.stream.name}, Place::Fragment)
                            .name;
                    map.expr = sum.weight;
                    ops.push_back(map);
                }
                const auto same = std::find_if(loads.begin(), loads.end(), [&](const TileOp &load) {
                    return graph_equal(load.expr, Expr(sum.element));
                });
                if (same != loads.end()) {
                    product.b = same->dst;
                } else {
                    TileOp load;
                    load.kind = TileOp::Kind::Load;
                    load.expr = sum.element;
                    load.dst = product.b =
                        declare("%" + sum.element->name, sum.element->type,
                                {program.query.name, program.stream.name, program.value(to).dims[1].axis}, Place::Shared)
                            .name;
                    loads.push_back(load);
                }
                if (sum.masked) {
                    TileOp mask;
                    mask.dst = product.b;
                    mask.when = TileOp::When::Partial;
                    const Expr own = Variable::make(sum.element->type, product.b);
                    mask.expr = Select::make(before.mask.guard, own, make_zero(own.type()));
                    ops.push_back(mask);
                }
                if (is_narrow_float(product.operand_type)) {
                    std::ostringstream note;
                    note << product.a << " rounded to " << product.operand_type;
                    product.note = note.str();
                }
                products.push_back(product);
            }
        } else if (found != sums.end() && &op == found->second.added) {
            const Variable *kept = found->second.kept.as<Variable>();
            if (!kept || kept->name != op.dst) {
                ops.push_back(op);
                ops.back().expr = found->second.kept;
            }
            const auto product = std::find_if(products.begin(), products.end(),
                                              [&](const TileOp &p) { return p.dst == op.dst; });
            ops.push_back(*product);
        } else {
            ops.push_back(op);
        }
    }
    pass.step = ops;
    stage_inputs(loads, pass);
    pass.step.insert(pass.step.begin(), loads.begin(), loads.end());
    std::vector<TileValue> &values = program.values;
    values.erase(std::remove_if(values.begin(), values.end(), [&](const TileValue &v) { return gone.count(v.name) > 0; }),
                 values.end());
}

bool mask_reads(const TileProgram &program, const std::string &axis) {
    return std::any_of(program.passes.begin(), program.passes.end(), [&](const StreamPass &pass) {
        const MaskVerdict &m = pass.mask;
        const std::vector<Expr> all = {m.guard, m.dead, m.full, m.begin, m.end};
        return !m.summaries.empty() || std::any_of(all.begin(), all.end(), [&](const Expr &e) {
                   return e.defined() && expr_uses_var(e, axis);
               });
    });
}

}  // namespace

bool has_matrix_for_each_row(const TileProgram &program, const TileOp &op) {
    if (op.kind != TileOp::Kind::Contract) {
        return false;
    }
    const std::vector<TileDim> &dims = program.value(op.b).dims;
    return dims.size() > 2 &&
           std::any_of(dims.begin(), dims.end(),
                       [&](const TileDim &d) { return d.axis == program.value(op.dst).dims[0].axis; });
}

std::set<std::string> values_of_points(const TileProgram &program, const std::string &axis) {
    std::set<std::string> found;
    close(program, found, [&](const TileOp &op) { return reads(op, axis) || reads_any(op, found); });
    return found;
}

std::set<std::string> values_across_points(const TileProgram &program) {
    std::set<std::string> found;
    close(program, found, [&](const TileOp &op) { return has_matrix_for_each_row(program, op) || reads_any(op, found); });
    return found;
}

std::string axis_to_share(const TileProgram &program) {
    for (const Axis &a : program.grid) {
        if (!mask_reads(program, a.name) && Sharing(program, a.name).converts_any()) {
            return a.name;
        }
    }
    return "";
}

TileProgram share_points(const TileProgram &program, const std::string &axis, int points) {
    strobe_user_assert(!mask_reads(program, axis))
        << "In algorithm " << program.name << ": can't share(" << axis << ", " << points << "): which keys a row sees depends "
        << "on " << axis << ", or on data; legal is another axis of the grid that the mask does not read, or no share";
    return points == 1 ? program : Sharing(program, axis).make(points);
}

}  // namespace strobe
