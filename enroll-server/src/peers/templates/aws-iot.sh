#!/bin/sh
# AWS IoT Core for the devices of {{tenant}}; commands of the AWS CLI 2. Made by: enroll-server broker config aws-iot
#
# Registers the issuing CA, so that devices come with the certificates they have: each is registered at its first
# connection (just-in-time provisioning) with the policy below. Devices are to be told your account's data endpoint:
#   aws iot describe-endpoint --endpoint-type iot:Data-ATS
# in [broker] host, with port 8883, and CA certificates of Amazon for that host in their trust. Run it once; read it
# before.
#
# How a revocation gets here: AWS IoT reads no revocation lists and asks no OCSP responder about registered certificates.
# Bind this to the event of a revocation; it ends the connection too:
#   aws iot update-certificate --certificate-id ID --new-status REVOKED
# where ID is the SHA-256 of the certificate in DER, in small hexadecimal digits. A certificate that a device renewed
# with is registered at its first use; set the one before INACTIVE.
# After a rollover of the CA run it again for the new one.
set -eu
cd "{{folder}}"

# TLS 1.3, and TLS 1.2 for clients without it. AWS decides which ciphers of TLS 1.2 the policy takes; devices of this
# project speak TLS 1.3, where every cipher has forward secrecy. For TLS 1.3 only: IoTSecurityPolicy_TLS13_1_3_2022_10.
aws iot create-domain-configuration --domain-configuration-name enrolled-devices \
    --service-type DATA --tls-config securityPolicy=IoTSecurityPolicy_TLS13_1_2_2022_10

# What a device may do: the connection's client identifier is the common name of its certificate, and so are its topics.
aws iot create-policy --policy-name enrolled-device --policy-document file://device-policy.json

# What is done at the first connection of a certificate. The role lets AWS IoT register things:
#   the managed policy AWSIoTThingsRegistration, with iot.amazonaws.com as the trusted service.
: "${PROVISIONING_ROLE_ARN:?the role for provisioning, such as arn:aws:iam::ACCOUNT:role/ROLE}"
aws iot create-provisioning-template --template-name enrolled-devices --type JITP --enabled \
    --provisioning-role-arn "$PROVISIONING_ROLE_ARN" --template-body file://provisioning.json

# The issuing CAs. SNI_ONLY takes a CA without a proof that its key is yours, for one account and region.
for certificate in issuing-*.pem; do
    aws iot register-ca-certificate --ca-certificate "file://$certificate" --certificate-mode SNI_ONLY \
        --set-as-active --allow-auto-registration --registration-config templateName=enrolled-devices
done
