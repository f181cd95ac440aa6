#include "Schedule.h"

#include <functional>
#include <tuple>

namespace strobe {

namespace {

DirectiveArgument positional(const std::string &value) {
    return {"", value, {}};
}

DirectiveArgument positional(int value) {
    return {"", std::to_string(value), {}};
}

DirectiveArgument keyword(const std::string &key, const std::string &value) {
    return {key, value, {}};
}

Directive directive(const std::string &name, std::vector<DirectiveArgument> arguments,
                    std::vector<std::string> subjects = {}) {
    Directive d;
    d.subjects = std::move(subjects);
    d.name = name;
    d.arguments = std::move(arguments);
    return d;
}

std::vector<DirectiveArgument> all_of(const std::vector<std::string> &values) {
    std::vector<DirectiveArgument> arguments;
    for (const std::string &v : values) {
        arguments.push_back(positional(v));
    }
    return arguments;
}

/** A switch is its bare name, or name(off). */
std::vector<DirectiveArgument> switched(bool on) {
    return on ? std::vector<DirectiveArgument>() : std::vector<DirectiveArgument>{positional("off")};
}

}  // namespace

Schedule &Schedule::add(Directive d) {
    directives.push_back(std::move(d));
    return *this;
}

Schedule &Schedule::tile(const Name &axis, int size) {
    return add(directive("tile", {positional(axis.text), positional(size)}));
}

Schedule &Schedule::stream(const Name &axis, int size) {
    return add(directive("stream", {positional(axis.text), positional(size)}));
}

Schedule &Schedule::exchange(bool on) {
    return add(directive("exchange", switched(on)));
}

Schedule &Schedule::share(const Name &axis, int points) {
    return add(directive("share", {positional(axis.text), positional(points)}));
}

Schedule &Schedule::split(const Name &axis, int parts) {
    return add(directive("split", {positional(axis.text), positional(parts)}));
}

Schedule &Schedule::online(const Names &reductions) {
    return add(directive("online", all_of(reductions.texts)));
}

Schedule &Schedule::recompute(const Name &reduction) {
    return add(directive("recompute", {positional(reduction.text)}));
}

Schedule &Schedule::stage(const Names &inputs, int count, const std::string &how) {
    return add(directive("stage", {positional(count), positional(how)}, inputs.texts));
}

Schedule &Schedule::mma(const Name &func, const std::string &instruction, const std::string &type,
                        const std::string &a) {
    std::vector<DirectiveArgument> arguments = {positional(instruction), positional(type)};
    if (!a.empty()) {
        arguments.push_back(keyword("a", a));
    }
    return add(directive("mma", arguments, {func.text}));
}

Schedule &Schedule::kernel(const std::string &form) {
    return add(directive("kernel", {positional(form)}));
}

Schedule &Schedule::warps(int consumers, int producer, int consumer_registers, int producer_registers, int chains) {
    std::vector<DirectiveArgument> arguments = {
        keyword("consumers", std::to_string(consumers)), keyword("producer", std::to_string(producer)),
        keyword("registers", std::to_string(consumer_registers) + ":" + std::to_string(producer_registers))};
    if (chains > 1) {
        arguments.push_back(keyword("chains", std::to_string(chains)));
    }
    return add(directive("warps", arguments));
}

Schedule &Schedule::pingpong(bool on) {
    return add(directive("pingpong", switched(on)));
}

Schedule &Schedule::skip(const std::string &what) {
    return add(directive("skip", {positional(what)}));
}

Schedule &Schedule::specialize(const std::vector<std::string> &cases) {
    return add(directive("specialize", all_of(cases)));
}

Schedule &Schedule::persistent(bool on) {
    return add(directive("persistent", switched(on)));
}

Schedule &Schedule::blocks(const Names &order) {
    return add(directive("blocks", all_of(order.texts)));
}

Schedule &Schedule::rescale_when(int bits) {
    return add(directive("rescale_when", {positional(bits)}));
}

Schedule &Schedule::vectorize(const Name &axis, int lanes) {
    return add(directive("vectorize", {positional(axis.text), positional(lanes)}));
}

Schedule &Schedule::parallel(const Names &axes) {
    return add(directive("parallel", all_of(axes.texts)));
}

const Directive *Schedule::find(const std::string &name) const {
    for (auto d = directives.rbegin(); d != directives.rend(); ++d) {
        if (d->name == name) {
            return &*d;
        }
    }
    return nullptr;
}

size_t Schedule::hash() const {
    size_t h = directives.size();
    auto mix = [&](const std::string &s) {
        h ^= std::hash<std::string>()(s) + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
    };
    for (const Directive &d : directives) {
        mix(d.name);
        for (const std::string &s : d.subjects) {
            mix(":" + s);
        }
        for (const DirectiveArgument &a : d.arguments) {
            mix(a.key);
            mix("=" + a.value);
        }
    }
    return h;
}

bool Choices::operator==(const Choices &o) const {
    auto all = [](const Choices &c) {
        return std::tie(c.query_tile, c.stream_tile, c.skip_dead, c.specialize_full, c.persistent, c.pingpong,
                        c.query_descending, c.stages, c.consumers, c.chains, c.producers, c.consumer_registers,
                        c.producer_registers, c.rescale_bits, c.vector_lanes, c.parts, c.held, c.mma, c.instruction,
                        c.copies, c.block_order, c.general, c.element_stages, c.exchange);
    };
    return all(*this) == all(o);
}

}  // namespace strobe
