#include "ReadAlgorithm.h"

#include "AxisUsage.h"
#include "MatchUpdate.h"
#include "MergeAxes.h"
#include "SplitSuffixes.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>
#include <optional>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Scope = std::map<std::string, Expr>;  // a Func's Vars and RVars -> Exprs over axes

/** The input extent that \p e is, or null. */
const Variable *as_input_extent(const Expr &e) {
    const Variable *v = e.as<Variable>();
    return v && v->param.defined() && v->name.find(".extent.") != std::string::npos ? v : nullptr;
}

/** Puts what the user declared about a buffer's bounds in the place of its extents. */
class ApplyDeclaredBounds : public IRGraphMutator {
    using IRGraphMutator::visit;

    Expr visit(const Variable *op) override {
        if (!op->param.defined() || !op->param.is_buffer()) {
            return op;
        }
        const Parameter &p = op->param;
        for (int n = 0; n < p.dimensions(); n++) {
            const std::string suffix = "." + std::to_string(n);
            Expr declared;
            if (op->name == p.name() + ".extent" + suffix) {
                declared = p.extent_constraint(n);
            } else if (op->name == p.name() + ".min" + suffix) {
                declared = p.min_constraint(n);
            }
            if (declared.defined() && !equal(declared, op)) {
                return mutate(declared);
            }
        }
        return op;
    }
};

Expr canonical(const Expr &e) {
    return simplify(ApplyDeclaredBounds().mutate(e));
}

std::string base_name(const Function &f) {
    return f.name().substr(0, f.name().find('$'));
}

class Reader {
    struct Instance {
        std::vector<Expr> args;
        Expr value;
    };
    AxisUsage usage;
    std::map<std::string, std::set<Usage>> reduced_as, indexed_as;  // of a reduced, of a parallel axis
    std::set<std::string> reductions;                               // Funcs read as reductions
    std::set<std::string> nested;  // axes that walk, for each element of another axis, the same domain
    std::map<Usage, std::vector<Instance>> instances;               // of element k of a Func

    class Inline;

    Expr read(const Expr &e, const Scope &scope, const Function &within);
    Expr read_call(const Function &f, int element, const std::vector<Expr> &args);
    Expr read_reduction(const Function &f, int element, const std::vector<Expr> &args, Scope scope);
    Expr add_reduction(Reduction r, const Function &f, int element);

    std::string unique_axis(const std::string &wanted) const;
    std::string reduced_axis(const ReductionVariable &v, const std::vector<Expr> &bodies,
                             const std::set<std::string> &taken);
    std::string parallel_axis(const Function &f, int n, const OutputImageParam &buffer,
                              const std::set<std::string> &taken);

public:
    ReductionGraph graph;
    void read_output(const Func &output);
};

/** Replaces Vars by Exprs over axes and calls to Funcs by what they compute. */
class Reader::Inline : public IRGraphMutator {
    using IRGraphMutator::visit;
    Reader &reader;
    const Scope &scope;
    const Function &within;

    Expr visit(const Variable *op) override {
        auto it = scope.find(op->name);
        if (it != scope.end()) {
            return it->second;
        }
        if (!op->param.defined() && !op->image.defined()) {
            strobe_user_error() << "Func " << within.name() << ": " << op->name
                                << " is neither one of its Vars nor an RVar of its update definition. Pass it as an "
                                   "input, or as an argument of the Func.";
        }
        return op;
    }

    Expr visit(const Call *op) override {
        if (op->call_type == Call::Halide) {
            return reader.read_call(Function(op->func), op->value_index, mutate(op->args));
        }
        if (op->is_intrinsic(Call::undef) || !op->is_pure()) {
            if (op->call_type != Call::Image) {
                strobe_user_error() << "Func " << within.name() << ": " << Expr(op)
                                    << " has no value that is the same each time it is computed. Pass it as an "
                                       "input, or compute it from positions and a seed, as include/strobe/philox.h does.";
            }
        }
        return IRGraphMutator::visit(op);
    }

public:
    Inline(Reader &reader, const Scope &scope, const Function &within) : reader(reader), scope(scope), within(within) {
    }
};

Expr Reader::read(const Expr &e, const Scope &scope, const Function &within) {
    return Inline(*this, scope, within).mutate(substitute_in_all_lets(e));
}

Expr Reader::read_call(const Function &f, int element, const std::vector<Expr> &args) {
    std::vector<Instance> &known = instances[{f.name(), element}];
    for (const Instance &i : known) {
        if (std::equal(args.begin(), args.end(), i.args.begin(), i.args.end(),
                       [](const Expr &a, const Expr &b) { return graph_equal(a, b); })) {
            return i.value;
        }
    }
    if (f.has_extern_definition()) {
        strobe_user_error() << "Func " << f.name() << " is an extern stage: what it computes cannot be read. "
                            << "Write it as a Halide definition, or compute it before and pass it as an input.";
    }
    if (!f.has_pure_definition()) {
        strobe_user_error() << "Func " << f.name() << " is used but has no definition.";
    }
    Scope scope;
    for (size_t i = 0; i < args.size(); i++) {
        scope[f.args()[i]] = args[i];
    }
    const Expr value =
        f.has_update_definition() ? read_reduction(f, element, args, scope) : read(f.values()[element], scope, f);
    instances[{f.name(), element}].push_back({args, value});
    return value;
}

/** The one reducing update definition of \p f, or an error. */
const Definition &reducing_update(const Function &f) {
    if (f.updates().size() != 1) {
        strobe_user_error() << "Func " << f.name() << " has " << f.updates().size()
                            << " update definitions; one can be read as a reduction. Use one Func for each.";
    }
    const Definition &update = f.update(0);
    for (size_t i = 0; i < update.args().size(); i++) {
        const Variable *v = update.args()[i].as<Variable>();
        if (!v || v->name != f.args()[i]) {
            strobe_user_error() << "Func " << f.name() << ": its update definition writes at " << update.args()[i]
                                << " in dimension " << i << " instead of at " << f.args()[i]
                                << ", so that it scatters. A reduction updates f(x) in terms of f(x).";
        }
    }
    if (update.schedule().rvars().empty()) {
        strobe_user_error() << "Func " << f.name() << ": its update definition walks no RDom, so it reduces nothing. "
                            << "Put it into the pure definition.";
    }
    return update;
}

Expr Reader::read_reduction(const Function &f, int element, const std::vector<Expr> &args, Scope scope) {
    const Definition &update = reducing_update(f);
    const UpdateStep step = match_update(f, element);
    reductions.insert(f.name());
    Reduction r;
    r.op = step.op;
    r.rank = step.rank;
    r.type = f.output_types()[element];

    for (const Expr &arg : args) {
        for (const std::string &name : axes_of(graph, arg)) {
            if (std::find(r.axes.begin(), r.axes.end(), name) == r.axes.end()) {
                r.axes.push_back(name);
            }
        }
    }
    std::set<std::string> taken(r.axes.begin(), r.axes.end());
    for (const ReductionVariable &v : update.schedule().rvars()) {
        const std::string axis = reduced_axis(v, {step.body, update.predicate()}, taken);
        scope[v.var] = Variable::make(Int(32), axis);
        taken.insert(axis);
        r.over.push_back(axis);
    }

    r.body = read(step.body, scope, f);
    const Expr predicate = read(update.predicate(), scope, f);
    const Expr identity = identity_of(r.op, r.type);
    if (!is_const_one(predicate) && r.rank >= 0) {
        const Chosen of = *as_chosen(r.body);
        r.body = chosen(of.value, select(predicate, of.key, identity_of(r.op, of.key.type())));
    } else if (!is_const_one(predicate)) {
        r.body = select(predicate, r.body, cast(r.body.type(), identity));
    }
    const Expr init = read(f.values()[element], scope, f);
    if (r.rank >= 0 || !equal(simplify(init), simplify(identity))) {
        r.init = init;
    }
    return add_reduction(r, f, element);
}

/** Two Funcs that say the same are one reduction. */
Expr Reader::add_reduction(Reduction r, const Function &f, int element) {
    for (const Reduction &known : graph.reductions) {
        if (known.op == r.op && known.rank == r.rank && known.type == r.type && known.axes == r.axes &&
            known.over == r.over && graph_equal(known.init, r.init) && graph_equal(known.body, r.body)) {
            return known.ref();
        }
    }
    const std::string base = base_name(f) + (f.outputs() > 1 ? "." + std::to_string(element) : "");
    r.name = base;
    const auto taken = [&] {
        return std::any_of(graph.reductions.begin(), graph.reductions.end(),
                           [&](const Reduction &known) { return known.name == r.name; });
    };
    for (int n = 1; taken(); n++) {
        r.name = base + "_" + std::to_string(n);
    }
    graph.reductions.push_back(r);
    return r.ref();
}

std::string Reader::unique_axis(const std::string &wanted) const {
    std::string name = wanted;
    const auto taken = [&] {
        return std::any_of(graph.axes.begin(), graph.axes.end(), [&](const Axis &a) { return a.name == name; });
    };
    for (int n = 1; taken(); n++) {
        name = wanted + "_" + std::to_string(n);
    }
    return name;
}

int common(const std::set<Usage> &a, const std::set<Usage> &b) {
    return int(std::count_if(a.begin(), a.end(), [&](const Usage &u) { return b.count(u) > 0; }));
}

/** The axis that an RVar walks: one that walks the same domain if there is one
 * outside \p taken, preferring one that is not nested in another, then the one used alike, else a new one. Two
 * lengths of inputs that index the same dimension of a Func become one axis too, under the
 * requirement that they are equal. */
std::string Reader::reduced_axis(const ReductionVariable &v, const std::vector<Expr> &bodies,
                                 const std::set<std::string> &taken) {
    const Expr min = canonical(v.min), extent = canonical(v.extent);
    std::set<Usage> uses = usage.of_variable(bodies, v.var);
    uses.emplace(v.var, -1);  // the same RDom
    const Axis *best = nullptr;
    int best_score = -1;
    for (const Axis &a : graph.axes) {
        auto known = reduced_as.find(a.name);
        if (known == reduced_as.end() || taken.count(a.name) || !equal(a.min, min)) {
            continue;
        }
        const int alike = common(known->second, uses);
        const bool same = equal(a.extent, extent) && (alike > 0 || !is_const(extent));
        const bool assumed = alike > 0 && as_input_extent(a.extent) && as_input_extent(extent);
        const int score = same ? (nested.count(a.name) ? 1000 : 2000) + alike : assumed ? alike : -1;
        if (score > best_score) {
            best = &a;
            best_score = score;
        }
    }
    if (best) {
        const Expr equal_lengths = extent == best->extent;
        if (!equal(best->extent, extent) &&
            std::none_of(graph.requirements.begin(), graph.requirements.end(),
                         [&](const Expr &known) { return equal(known, equal_lengths); })) {
            graph.requirements.push_back(equal_lengths);
        }
        reduced_as[best->name].insert(uses.begin(), uses.end());
        return best->name;
    }
    std::string wanted = usage.var_name(bodies, v.var);
    if (wanted.empty()) {
        const size_t dollar = v.var.find('$');
        wanted = v.var.substr(0, dollar);
        wanted = is_chosen_name(wanted) ? wanted : "r";  // Halide's numbers change from run to run
        const bool several = dollar != std::string::npos && v.var.substr(dollar) != "$x";
        wanted += several ? "_" + v.var.substr(dollar + 1) : "";
    }
    const std::string name = unique_axis(wanted);
    const auto walks_the_same = [&](const Axis &a) {
        return taken.count(a.name) && equal(a.min, min) && equal(a.extent, extent);
    };
    if (std::any_of(graph.axes.begin(), graph.axes.end(), walks_the_same)) {
        nested.insert(name);
    }
    graph.axes.push_back({name, min, extent});
    reduced_as[name] = uses;
    return name;
}

/** The axis of argument \p n of an output: that of an earlier output if both
 * index the same argument of the same reduction, else a new one. */
std::string Reader::parallel_axis(const Function &f, int n, const OutputImageParam &buffer,
                                  const std::set<std::string> &taken) {
    const std::set<Usage> &uses = usage.of_argument(f, n);
    for (const Output &o : graph.outputs) {
        for (const std::string &name : o.axes) {
            const std::set<Usage> &known = indexed_as[name];
            const bool alike = std::any_of(uses.begin(), uses.end(),
                                           [&](const Usage &u) { return reductions.count(u.first) && known.count(u); });
            if (alike && !taken.count(name)) {
                return name;
            }
        }
    }
    const std::string name = unique_axis(is_chosen_name(f.args()[n]) ? f.args()[n] : "x" + std::to_string(n));
    indexed_as[name] = uses;
    graph.axes.push_back({name, canonical(buffer.dim(n).min()), canonical(buffer.dim(n).extent())});
    return name;
}

void Reader::read_output(const Func &output) {
    if (!output.defined()) {
        strobe_user_error() << "Func " << output.name() << " is an output but has no definition.";
    }
    const Function f = output.function();
    const std::vector<OutputImageParam> buffers = output.output_buffers();
    std::vector<std::string> axes;
    std::vector<Expr> args;
    std::set<std::string> taken;
    for (int n = 0; n < f.dimensions(); n++) {
        axes.push_back(parallel_axis(f, n, buffers[0], taken));
        taken.insert(axes.back());
        args.push_back(Variable::make(Int(32), axes.back()));
    }
    std::vector<Output> results;
    for (int k = 0; k < f.outputs(); k++) {
        results.push_back({buffers[k].name(), f.output_types()[k], axes, read_call(f, k, args)});
    }
    graph.outputs.insert(graph.outputs.end(), results.begin(), results.end());
}

}  // namespace

ReductionGraph read_algorithm(const std::vector<Func> &outputs) {
    if (outputs.empty()) {
        strobe_user_error() << "An algorithm needs at least one output Func.";
    }
    Reader reader;
    for (const Func &f : outputs) {
        reader.read_output(f);
    }
    merge_axes(reader.graph);
    split_suffixes(reader.graph);
    strobe_debug(2) << reader.graph;
    return reader.graph;
}

}  // namespace strobe
