//! Version 1.8.0 of the Open Cybersecurity Schema Framework, as far as it is written here: the
//! attributes that each class and object may have, without those of profiles and the deprecated.

/// A class or an object of the schema.
pub struct Definition {
    pub name: &'static str,
    /// `name:type`, `!` where it is required, `[]` where it is a list.
    pub attributes: &'static str,
    /// Of these one must be there, where there are any.
    pub at_least_one: &'static str,
}

pub const VERSION: &str = "1.8.0";

pub const DEFINITIONS: [Definition; 13] = [
    Definition {
        name: "entity_management",
        attributes: "access_list:text[] access_mask:integer activity_id:integer! activity_name:text \
            actor:actor category_name:text category_uid:integer! class_name:text class_uid:integer! \
            comment:text count:integer duration:integer end_time:integer enrichments:enrichment[] \
            entity:managed_entity! entity_result:managed_entity http_request:http_request \
            http_response:http_response message:text metadata:metadata! observables:observable[] \
            raw_data:text raw_data_hash:fingerprint raw_data_size:integer severity:text \
            severity_id:integer! src_endpoint:network_endpoint start_time:integer status:text \
            status_code:text status_detail:text status_id:integer time:integer! \
            timezone_offset:integer type_name:text type_uid:integer! unmapped:object",
        at_least_one: "",
    },
    Definition {
        name: "api_activity",
        attributes: "activity_id:integer! activity_name:text actor:actor! api:api! category_name:text \
            category_uid:integer! class_name:text class_uid:integer! count:integer \
            dst_endpoint:network_endpoint duration:integer end_time:integer enrichments:enrichment[] \
            http_request:http_request http_response:http_response message:text metadata:metadata! \
            observables:observable[] raw_data:text raw_data_hash:fingerprint raw_data_size:integer \
            resources:resource_details[] severity:text severity_id:integer! \
            src_endpoint:network_endpoint! start_time:integer status:text status_code:text \
            status_detail:text status_id:integer time:integer! timezone_offset:integer \
            type_name:text type_uid:integer! unmapped:object",
        at_least_one: "",
    },
    Definition {
        name: "metadata",
        attributes: "correlation_uid:text debug:text[] event_code:text extensions:extension[] \
            is_truncated:boolean labels:text[] log_format:text log_level:text log_name:text \
            log_provider:text log_source:text log_version:text logged_time:integer loggers:logger[] \
            modified_time:integer original_event_uid:text original_time:text processed_time:integer \
            product:product! profiles:text[] reporter:reporter sequence:integer source:text \
            tags:key_value_object[] tenant_uid:text total_queued_duration:timespan \
            transformation_info_list:transformation_info[] transmit_time:integer type:text uid:text \
            untruncated_size:integer version:text!",
        at_least_one: "",
    },
    Definition {
        name: "product",
        attributes: "cpe_name:text feature:feature lang:text name:text path:text uid:text url_string:text \
            vendor_name:text version:text",
        at_least_one: "",
    },
    Definition {
        name: "actor",
        attributes: "app_name:text app_uid:text authorizations:authorization[] idp:idp process:process \
            session:session user:user",
        at_least_one: "process user session app_name app_uid",
    },
    Definition {
        name: "user",
        attributes: "account:account display_name:text domain:text email_addr:text forward_addr:text \
            full_name:text groups:group[] has_mfa:boolean ldap_person:ldap_person name:text \
            org:organization phone_number:text programmatic_credentials:programmatic_credential[] \
            risk_level:text risk_level_id:integer risk_score:integer type:text type_id:integer \
            uid:text uid_alt:text",
        at_least_one: "account name uid",
    },
    Definition {
        name: "managed_entity",
        attributes: "data:json device:device email:email group:group location:location name:text \
            org:organization policy:policy type:text type_id:integer uid:text user:user version:text",
        at_least_one: "name uid device group org policy user",
    },
    Definition {
        name: "api",
        attributes: "group:group operation:text! request:request response:response service:service \
            token:token version:text",
        at_least_one: "",
    },
    Definition {
        name: "request",
        attributes: "containers:container[] data:json flags:text[] uid:text!",
        at_least_one: "",
    },
    Definition {
        name: "service",
        attributes: "labels:text[] name:text tags:key_value_object[] uid:text version:text",
        at_least_one: "",
    },
    Definition {
        name: "network_endpoint",
        attributes: "agent_list:agent[] autonomous_system:autonomous_system domain:text \
            fingerprints:fingerprint[] hostname:text hw_info:device_hw_info instance_uid:text \
            interface_name:text interface_uid:text intermediate_ips:ip[] ip:ip isp:text isp_org:text \
            location:location mac:text mac_vendor:text name:text network_scope:text \
            network_scope_id:integer os:os owner:user pool:group port:integer \
            proxy_endpoint:network_proxy subnet_uid:text svc_name:text type:text type_id:integer \
            uid:text vlan_uid:text vpc_uid:text zone:text",
        at_least_one: "ip uid name hostname svc_name instance_uid interface_uid interface_name domain",
    },
    Definition {
        name: "http_request",
        attributes:
            "args:text body_length:integer http_headers:http_header[] http_method:text length:integer \
            referrer:text uid:text url:url user_agent:text version:text x_forwarded_for:ip[]",
        at_least_one: "",
    },
    Definition {
        name: "resource_details",
        attributes: "agent_list:agent[] created_time:integer criticality:text data:json group:group \
            hostname:text ip:ip is_backed_up:boolean labels:text[] modified_time:integer name:text \
            namespace:text owner:user resource_relationship:graph role:text role_id:integer \
            tags:key_value_object[] type:text uid:text uid_alt:text version:text",
        at_least_one: "",
    },
];

/// An enumeration: the object it is of, its attribute, the attribute with the caption, and the
/// captions. Each has 0, Unknown, and 99, whose caption is the source's own word.
pub type Enumeration = (&'static str, &'static str, &'static str, &'static [(u64, &'static str)]);

pub const ENUMERATIONS: [Enumeration; 9] = [
    (
        "entity_management",
        "activity_id",
        "activity_name",
        &[
            (1, "Create"),
            (2, "Read"),
            (3, "Update"),
            (4, "Delete"),
            (5, "Move"),
            (6, "Enroll"),
            (7, "Unenroll"),
            (8, "Enable"),
            (9, "Disable"),
            (10, "Activate"),
            (11, "Deactivate"),
            (12, "Suspend"),
            (13, "Resume"),
        ],
    ),
    (
        "api_activity",
        "activity_id",
        "activity_name",
        &[(1, "Create"), (2, "Read"), (3, "Update"), (4, "Delete")],
    ),
    (
        "entity_management",
        "severity_id",
        "severity",
        &[(1, "Informational"), (2, "Low"), (3, "Medium"), (4, "High"), (5, "Critical"), (6, "Fatal")],
    ),
    (
        "api_activity",
        "severity_id",
        "severity",
        &[(1, "Informational"), (2, "Low"), (3, "Medium"), (4, "High"), (5, "Critical"), (6, "Fatal")],
    ),
    ("entity_management", "status_id", "status", &[(1, "Success"), (2, "Failure")]),
    ("api_activity", "status_id", "status", &[(1, "Success"), (2, "Failure")]),
    ("user", "type_id", "type", &[(1, "User"), (2, "Admin"), (3, "System"), (4, "Service")]),
    (
        "managed_entity",
        "type_id",
        "type",
        &[
            (1, "Device"),
            (2, "User"),
            (3, "Group"),
            (4, "Organization"),
            (5, "Policy"),
            (6, "Email"),
            (7, "Network Zone"),
        ],
    ),
    ("resource_details", "role_id", "role", &[(1, "Target"), (2, "Actor"), (3, "Affected"), (4, "Related")]),
];
