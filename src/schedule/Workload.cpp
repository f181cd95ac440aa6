#include "Workload.h"

#include "AxisSize.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool contains(const std::vector<std::string> &list, const std::string &name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

bool is_tensor_load(const Call *op) {
    return op->call_type == Call::Image;
}

/** Calls of inputs, and Variables, in an Expr. */
class Uses : public IRGraphVisitor {
    using IRGraphVisitor::visit;

    void visit(const Call *op) override {
        if (is_tensor_load(op)) {
            loads.push_back(op);
        }
        IRGraphVisitor::visit(op);
    }

    void visit(const Variable *op) override {
        variables.insert(op->name);
        if (op->param.defined() && !op->param.is_buffer()) {
            scalars.emplace(op->name, op->param);
        }
    }

public:
    std::vector<const Call *> loads;
    std::set<std::string> variables;
    std::map<std::string, Parameter> scalars;

    Uses() = default;
    explicit Uses(const Expr &e) {
        add(e);
    }
    void add(const Expr &e) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

Uses uses_of(const ReductionGraph &graph) {
    Uses uses;
    for (const Reduction &r : graph.reductions) {
        uses.add(r.body);
        uses.add(r.init);
    }
    for (const Output &o : graph.outputs) {
        uses.add(o.value);
    }
    return uses;
}

Expr without_casts(Expr e) {
    while (const Cast *c = e.as<Cast>()) {
        e = c->value;
    }
    return e;
}

/** The factors of a product, looking through casts; a quotient is a product with a reciprocal. */
void factors_of(const Expr &e, std::vector<Expr> &factors) {
    Expr inner = without_casts(e);
    const Div *div = inner.as<Div>();
    if (const Mul *mul = inner.as<Mul>()) {
        factors_of(mul->a, factors);
        factors_of(mul->b, factors);
    } else if (div && div->type.is_float() && !is_const_one(div->a)) {
        factors_of(div->a, factors);
        factors.push_back(make_one(div->type) / div->b);
    } else {
        factors.push_back(inner);
    }
}

class Builder {
    const ReductionGraph &graph;
    const Plan &plan;
    Workload work;

    bool is_row_axis(const std::string &axis) const {
        return axis == plan.roles.query || axis == plan.roles.stream || contains(plan.roles.batch, axis);
    }

    Operand operand_of(const Call *load) {
        Operand o;
        o.input = load->name;
        o.load = Expr(load);
        o.type = load->type;
        o.width = 1;
        std::set<std::string> axes;
        for (const Expr &index : load->args) {
            for (const std::string &a : axes_of(graph, index)) {
                axes.insert(a);
            }
        }
        for (const std::string &a : axes) {
            o.by_query |= a == plan.roles.query;
            o.by_stream |= a == plan.roles.stream;
            if (is_row_axis(a)) {
                continue;
            }
            std::optional<int64_t> size = known_size(graph, a, work.sizes);
            o.width = o.width && size ? std::optional<int64_t>(*o.width * *size) : std::nullopt;
        }
        return o;
    }

    /** The loads in a product that use one of these axes; sets matrix if each is a
     * factor of its own and there are \p expected of them. */
    std::vector<Operand> operands_in(const Expr &body, const std::vector<std::string> &axes, size_t expected,
                                     bool &matrix) {
        std::vector<Operand> operands;
        for (const Call *load : Uses(body).loads) {
            std::vector<std::string> used = axes_of(graph, Expr(load));
            if (std::any_of(used.begin(), used.end(), [&](const std::string &a) { return contains(axes, a); })) {
                operands.push_back(operand_of(load));
            }
        }
        std::vector<Expr> factors;
        factors_of(body, factors);
        size_t bare = std::count_if(factors.begin(), factors.end(), [&](const Expr &f) {
            std::vector<std::string> used = axes_of(graph, f);
            return f.as<Call>() && is_tensor_load(f.as<Call>()) &&
                   std::any_of(used.begin(), used.end(), [&](const std::string &a) { return contains(axes, a); });
        });
        matrix = bare == expected && operands.size() == expected;
        return operands;
    }

    /** One side of a product of what rows and of what streamed rows compute from inputs: it can be computed beforehand
     * and is no more precise than the 16-bit elements it is computed from. Undefined type: not of such elements. */
    Operand computed_operand(const std::vector<Expr> &factors, const std::string &axis, const std::string &feature) {
        Operand o;
        o.type = Type();
        o.computed = factors.size() > 1 || !factors[0].as<Call>();
        o.by_query = axis == plan.roles.query;
        o.by_stream = axis == plan.roles.stream;
        for (const Expr &f : factors) {
            o.load = o.load.defined() ? o.load * f : f;
            for (const Call *load : Uses(f).loads) {
                const std::vector<std::string> used = axes_of(graph, Expr(load));
                const bool narrow = load->type.is_float() && load->type.bits() == 16;
                if (narrow && contains(used, axis) && contains(used, feature)) {
                    o.type = load->type;
                    o.input = load->name;
                }
            }
        }
        o.width = known_size(graph, feature, work.sizes);
        return o;
    }

    void use_computed_operands(const Reduction &r, Contraction &c) {
        std::vector<Expr> factors, rows, columns;
        factors_of(r.body, factors);
        for (const Expr &f : factors) {
            const std::vector<std::string> used = axes_of(graph, f);
            const bool by_stream = contains(used, plan.roles.stream);
            if (by_stream && contains(used, plan.roles.query)) {
                return;
            }
            (by_stream ? columns : rows).push_back(f);
        }
        if (rows.empty() || columns.empty()) {
            return;
        }
        const Operand a = computed_operand(rows, plan.roles.query, r.over[0]);
        const Operand b = computed_operand(columns, plan.roles.stream, r.over[0]);
        if (a.type == b.type && a.type.is_float() && a.type.bits() == 16) {
            c.operands = {a, b};
            c.matrix = true;
        }
    }

    /** Contractions inside a tile, such as the scores. */
    void add_inner(const Reduction &r) {
        Contraction c;
        c.func = r.name;
        c.names = {r.name};
        c.scores = contains(r.axes, plan.roles.stream) && contains(r.axes, plan.roles.query);
        c.result = r.type;
        c.size = 1;
        for (const std::string &a : r.over) {
            std::optional<int64_t> size = known_size(graph, a, work.sizes);
            c.size = c.size && size ? std::optional<int64_t>(*c.size * *size) : std::nullopt;
        }
        c.operands = operands_in(r.body, r.over, 2, c.matrix);
        c.matrix = c.matrix && c.scores && r.op == ReduceOp::Sum && c.operands[0].by_query != c.operands[1].by_query;
        if (!c.matrix && c.scores && r.op == ReduceOp::Sum && r.over.size() == 1) {
            use_computed_operands(r, c);
        }
        work.contractions.push_back(c);
    }

    std::vector<std::string> names_of(const Moment &m) const {
        std::vector<std::string> names;
        const std::set<std::string> axes(m.axes.begin(), m.axes.end());
        for (const Reduction &r : graph.reductions) {
            if (contains(r.over, plan.roles.stream) && std::set<std::string>(r.axes.begin(), r.axes.end()) == axes) {
                names.push_back(r.name);
            }
        }
        for (const Output &o : plan.outputs) {
            if (Uses(o.value).variables.count(m.name)) {
                names.push_back(o.name);
            }
        }
        return names;
    }

    void add_moment(const Pass &pass, const Moment &m, PassWorkload &p, std::vector<Expr> &weights) {
        std::vector<std::string> features;
        for (const std::string &a : m.axes) {
            if (!is_row_axis(a)) {
                features.push_back(a);
            }
        }
        if (features.empty()) {
            p.row_moments++;
            return;
        }
        Contraction c;
        c.names = names_of(m);
        c.func = c.names.empty() ? m.name : c.names[0];
        c.result = m.type;
        c.size = 1;
        for (const std::string &a : features) {
            std::optional<int64_t> size = known_size(graph, a, work.sizes);
            c.size = c.size && size ? std::optional<int64_t>(*c.size * *size) : std::nullopt;
        }
        Expr factor = m.factor.defined() ? m.factor : make_one(m.type);
        if (m.around.value.defined()) {
            factor = factor * m.around.value;
            c.matrix = false;
        }
        c.operands = operands_in(factor, features, 1, c.matrix);
        c.matrix &= m.op == ReduceOp::Sum;
        p.contractions.push_back((int)work.contractions.size());
        work.contractions.push_back(c);

        // The weights: what multiplies the operand. Equal ones are computed and kept once.
        Expr weight = m.pivot >= 0 ? Variable::make(Float(32), pass.pivots[m.pivot].name) : make_one(Float(32));
        std::vector<Expr> factors;
        factors_of(factor, factors);
        for (const Expr &f : factors) {
            std::vector<std::string> used = axes_of(graph, f);
            if (std::none_of(features.begin(), features.end(),
                             [&](const std::string &a) { return contains(used, a); })) {
                weight = weight * cast(weight.type(), f);
            }
        }
        if (std::none_of(weights.begin(), weights.end(), [&](const Expr &w) { return graph_equal(w, weight); })) {
            weights.push_back(weight);
            p.weight_tiles++;
        }
    }

    bool has_computed_operands(const std::string &inner) const {
        return std::any_of(work.contractions.begin(), work.contractions.end(), [&](const Contraction &c) {
            return c.func == inner && std::any_of(c.operands.begin(), c.operands.end(),
                                                  [](const Operand &o) { return o.computed; });
        });
    }

    /** Everything an Expr refers to, through reductions evaluated inside the tile. */
    void inner_uses(const Expr &e, std::set<std::string> &names) const {
        for (const std::string &v : Uses(e).variables) {
            const Reduction *r = v[0] == '%' ? graph.referred(Variable::make(Int(32), v)) : nullptr;
            // What only computed operands need is computed with them, beforehand.
            if (r && contains(plan.inner, r->name) && names.insert(r->name).second && !has_computed_operands(r->name)) {
                inner_uses(r->body, names);
            }
        }
    }

    /** Distinct inputs with an element for each row and key in what the pass computes everywhere. */
    int element_loads(const Pass &pass) const {
        Uses uses;
        for (const Pivot &pivot : pass.pivots) {
            uses.add(pivot.exponent);
        }
        for (const Moment &m : pass.moments) {
            uses.add(m.factor);
            uses.add(m.around.value);
        }
        std::vector<Expr> found;
        for (const Call *load : uses.loads) {
            const std::vector<std::string> used = axes_of(graph, Expr(load));
            if (contains(used, plan.roles.query) && contains(used, plan.roles.stream) &&
                std::none_of(found.begin(), found.end(), [&](const Expr &f) { return graph_equal(f, Expr(load)); })) {
                found.push_back(load);
            }
        }
        return (int)found.size();
    }

    /** Groups what refers to each other: pivots, moments (whose contractions are given, or -1) and the reductions
     * inside a tile. */
    std::vector<ChainWorkload> chains_of(const Pass &pass, const std::vector<int> &contraction_of) const {
        struct Group {
            std::set<std::string> names;
            std::vector<int> moments;
            std::set<int> pivots;
        };
        std::vector<Group> groups;
        const auto add = [&](Group g) {
            std::vector<Group> apart;
            for (Group &other : groups) {
                const bool meets = std::any_of(other.names.begin(), other.names.end(),
                                               [&](const std::string &n) { return g.names.count(n); });
                if (meets) {
                    g.names.insert(other.names.begin(), other.names.end());
                    g.moments.insert(g.moments.end(), other.moments.begin(), other.moments.end());
                    g.pivots.insert(other.pivots.begin(), other.pivots.end());
                } else {
                    apart.push_back(std::move(other));
                }
            }
            apart.push_back(std::move(g));
            groups = std::move(apart);
        };
        std::set<std::string> of_mask;
        inner_uses(pass.mask.guard, of_mask);
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            Group g{of_mask, {}, {(int)i}};
            inner_uses(pass.pivots[i].exponent, g.names);
            inner_uses(pass.pivots[i].guard, g.names);
            g.names.insert(pass.pivots[i].name);
            add(g);
        }
        for (size_t i = 0; i < pass.moments.size(); i++) {
            const Moment &m = pass.moments[i];
            Group g{of_mask, {(int)i}, {}};
            g.names.insert(m.pivot >= 0 ? pass.pivots[m.pivot].name : m.name);
            inner_uses(m.factor, g.names);
            inner_uses(m.around.value, g.names);
            inner_uses(m.guard, g.names);
            add(g);
        }
        std::vector<ChainWorkload> chains;
        for (const Group &g : groups) {
            PassWorkload p;
            std::vector<Expr> weights;
            ChainWorkload chain;
            for (int i : g.moments) {
                Builder(graph, plan, work.sizes).add_moment(pass, pass.moments[i], p, weights);
                if (contraction_of[i] >= 0) {
                    chain.contractions.push_back(contraction_of[i]);
                }
            }
            if (chain.contractions.empty()) {
                return {};  // it has nothing for a warpgroup of its own
            }
            chain.pivots = (int)g.pivots.size();
            chain.row_moments = p.row_moments;
            chain.weight_tiles = p.weight_tiles;
            for (size_t i = 0; i < plan.inner.size(); i++) {
                if (g.names.count(plan.inner[i])) {
                    chain.contractions.push_back((int)i);
                }
            }
            chains.push_back(chain);
        }
        return chains;
    }

    void add_pass(const Pass &pass) {
        PassWorkload p;
        std::set<std::string> inner;
        std::vector<Expr> weights;
        std::vector<int> contraction_of;
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            inner_uses(pass.pivots[i].exponent, inner);
            p.pivots++;
            p.running_pivots += grows(graph, plan, pass, i);
        }
        for (const Moment &m : pass.moments) {
            inner_uses(m.guard, inner);
            inner_uses(m.factor, inner);
            inner_uses(m.around.value, inner);
            const size_t before = work.contractions.size();
            add_moment(pass, m, p, weights);
            contraction_of.push_back(work.contractions.size() > before ? (int)before : -1);
        }
        for (size_t i = 0; i < plan.inner.size(); i++) {
            if (inner.count(plan.inner[i])) {
                p.contractions.push_back((int)i);
            }
        }
        std::sort(p.contractions.begin(), p.contractions.end());
        p.masked = pass.mask.guard.defined() && !is_const_one(pass.mask.guard);
        p.mask_reads_inputs = !pass.mask.summaries.empty();
        p.element_loads = element_loads(pass);
        p.chains = chains_of(pass, contraction_of);
        p.judges_tiles = pass.mask.dead.defined() && !is_const_zero(pass.mask.dead) && !pass.mask.contiguous;
        add_elements(pass);
        work.passes.push_back(p);
    }

    /** Whether a load's index is this axis alone. */
    bool is_axis(const Expr &index, const std::string &axis) const {
        const std::vector<std::string> used = axes_of(graph, index);
        return index.as<Variable>() && used.size() == 1 && used[0] == axis;
    }

    /** The loads of e whose tiles of rows and of columns along `axis` can be copied in bulk. */
    void add_elements(const Expr &e, const std::string &axis) {
        for (const Call *load : Uses(e).loads) {
            const int rank = (int)load->args.size();
            if (!load->type.is_float() || load->type.bits() != 16 || rank < 2 || rank > 5 ||
                !is_axis(load->args[0], axis)) {
                continue;
            }
            int rows = 0, others = 0;
            for (int d = 1; d < rank; d++) {
                const std::vector<std::string> used = axes_of(graph, load->args[d]);
                rows += is_axis(load->args[d], plan.roles.query);
                others += std::all_of(used.begin(), used.end(),
                                      [&](const std::string &a) { return contains(plan.roles.batch, a); });
            }
            const bool known = std::any_of(work.elements.begin(), work.elements.end(), [&](const ElementInput &other) {
                return graph_equal(other.load, Expr(load));
            });
            if (rows == 1 && others == rank - 2 && !known) {
                work.elements.push_back({load->name, Expr(load), axis == plan.roles.stream,
                                         known_size(graph, axis, work.sizes)});
            }
        }
    }

    void add_elements(const Pass &pass) {
        for (const Pivot &pivot : pass.pivots) {
            add_elements(pivot.exponent, plan.roles.stream);
        }
        for (const Moment &m : pass.moments) {
            if (m.factor.defined()) {
                add_elements(m.factor, plan.roles.stream);
            }
        }
    }

    void add_result(const Output &o) {
        for (const std::string &a : o.axes) {
            if (!is_row_axis(a)) {
                add_elements(o.value, a);
            }
        }
        ResultTile r{o.name, o.type, 1};
        bool columns = false;
        for (const std::string &a : o.axes) {
            if (is_row_axis(a)) {
                continue;
            }
            columns = true;
            std::optional<int64_t> size = known_size(graph, a, work.sizes);
            r.width = r.width && size ? std::optional<int64_t>(*r.width * *size) : std::nullopt;
        }
        if (columns) {
            work.results.push_back(r);
        }
    }

public:
    Builder(const ReductionGraph &graph, const Plan &plan, const AxisSizes &given) : graph(graph), plan(plan) {
        work.sizes = given;
        for (const Axis &a : graph.axes) {
            if (auto size = known_size(graph, a.name, given)) {
                work.sizes[a.name] = *size;
            }
        }
        work.inputs = inputs_of(graph);
    }

    Workload build() {
        for (const std::string &name : plan.inner) {
            add_inner(graph.reduction(name));
        }
        for (const Pass &pass : plan.passes) {
            add_pass(pass);
        }
        for (size_t i = 0; i < plan.inner.size(); i++) {
            const bool used = std::any_of(work.passes.begin(), work.passes.end(), [&](const PassWorkload &p) {
                return std::count(p.contractions.begin(), p.contractions.end(), (int)i) > 0;
            });
            if (!used) {
                work.contractions[i].operands.clear();
            }
        }
        for (const Output &o : plan.outputs) {
            add_result(o);
        }
        return work;
    }
};

}  // namespace

const Contraction *Workload::find(const std::string &name) const {
    for (const Contraction &c : contractions) {
        if (c.func == name || contains(c.names, name)) {
            return &c;
        }
    }
    return nullptr;
}

int Workload::chains() const {
    return passes.size() == 1 ? std::max<int>(1, (int)passes[0].chains.size()) : 1;
}

std::vector<Operand> Workload::operands() const {
    std::vector<Operand> all;
    for (const Contraction &c : contractions) {
        for (const Operand &o : c.operands) {
            if (std::none_of(all.begin(), all.end(), [&](const Operand &a) { return graph_equal(a.load, o.load); })) {
                all.push_back(o);
            }
        }
    }
    return all;
}

std::optional<int64_t> known_size(const ReductionGraph &graph, const std::string &axis, const AxisSizes &given) {
    auto found = given.find(axis);
    if (found != given.end()) {
        return found->second;
    }
    const std::optional<int64_t> declared = declared_size(graph, axis, false);
    return declared ? declared : declared_size(graph, axis, true);
}

Workload workload_of(const ReductionGraph &graph, const Plan &plan, const AxisSizes &given) {
    return Builder(graph, plan, given).build();
}

std::vector<std::string> inputs_of(const ReductionGraph &graph) {
    std::vector<std::string> names;
    for (const Call *load : uses_of(graph).loads) {
        if (!contains(names, load->name)) {
            names.push_back(load->name);
        }
    }
    return names;
}

std::vector<std::string> scalars_of(const ReductionGraph &graph) {
    std::vector<std::string> names;
    for (const auto &[name, parameter] : uses_of(graph).scalars) {
        names.push_back(name);
    }
    return names;
}

std::map<std::string, double> scalar_defaults(const ReductionGraph &graph) {
    std::map<std::string, double> defaults;
    for (const auto &[name, parameter] : uses_of(graph).scalars) {
        Expr e = parameter.estimate().defined()        ? parameter.estimate()
                 : parameter.default_value().defined() ? parameter.default_value()
                 : parameter.has_scalar_value()        ? parameter.scalar_expr()
                                                       : Expr();
        e = e.defined() ? simplify(cast<double>(e)) : e;
        if (const FloatImm *value = e.defined() ? e.as<FloatImm>() : nullptr) {
            defaults[name] = value->value;
        }
    }
    return defaults;
}

bool grows(const ReductionGraph &graph, const Plan &plan, const Pass &pass, size_t pivot) {
    if (pass.pivots[pivot].policy == Pivot::Policy::RunningMax) {
        return true;
    }
    return pass.pivots[pivot].policy == Pivot::Policy::Constant &&
           std::any_of(pass.moments.begin(), pass.moments.end(), [&](const Moment &m) {
               const bool features = std::any_of(m.axes.begin(), m.axes.end(), [&](const std::string &a) {
                   return a != plan.roles.query && !contains(plan.roles.batch, a);
               });
               const std::vector<const Call *> loads = Uses(m.factor).loads;
               return m.pivot == (int)pivot && features && m.factor.defined() &&
                      std::any_of(loads.begin(), loads.end(), [&](const Call *load) {
                          return load->type.is_float() && load->type.bits() == 16 &&
                                 !contains(axes_of(graph, Expr(load)), plan.roles.query);
                      });
           });
}

bool has_zeros_behind(const Expr &load, int64_t features) {
    const Call *call = load.defined() ? load.as<Call>() : nullptr;
    const Expr extent = call && call->param.defined() ? call->param.extent_constraint(0) : Expr();
    return extent.defined() && is_const(extent, features);
}

int pass_of(const Plan &plan, const std::string &reduction) {
    for (size_t i = 0; i < plan.passes.size(); i++) {
        for (const Readout &r : plan.passes[i].readouts) {
            if (r.name == "%" + reduction) {
                return (int)i;
            }
        }
    }
    return (int)plan.passes.size() - 1;
}

}  // namespace strobe
