# METADATA
# title: How the settings are read
# description: >-
#   Each setting is looked up by its key and never searched through, so a decision costs the same with ten tools and with
#   ten thousand. A setting of a form that nobody understands must never read like one that is not there.
#
#   Throughout the policies `not` stands before a rule's name, a comparison with `==`, or a call whose arguments are known to
#   be there. Before any other call it is a trap: where an argument is undefined, OPA finds the whole rule undefined and the
#   embedded engine finds it true.
#
#   Packages are imported for their functions and settings only, and rules of other packages written in full: of an imported
#   package whose rule is named the embedded engine evaluates every rule. Functions write the settings in full, too: in a
#   function that another package calls, it does not always find what an import names.
package sealgate.configured

# METADATA
# title: There is such a setting, whatever its value
given(name) if exists(data.sealgate.settings[name])

# METADATA
# title: True for every value, also false and null; undefined for none
exists(value) if type_name(value) != ""

# METADATA
# title: The entry of a setting for the called tool, else for its whole upstream
entry(name) := found if {
	found := data.sealgate.settings[name][input.resource.id]
} else := found if {
	found := data.sealgate.settings[name][upstream_key]
}

upstream_key := concat("", [input.resource.properties.upstream, "__*"])

# METADATA
# title: An object with no other members than these
formed(value, members) if {
	is_object(value)
	count(object.keys(value) - members) == 0
}

# METADATA
# title: A setting whose entries have names, if it is there at all
readable(name) if not given(name)

readable(name) if is_object(data.sealgate.settings[name])

# METADATA
# title: Such a setting, and this tool's entry in it has no other members than these
readable_entry(name, members) if {
	readable(name)
	not unformed(name, members)
}

unformed(name, members) if {
	found := entry(name)
	not formed(found, members)
}
